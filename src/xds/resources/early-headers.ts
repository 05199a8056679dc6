import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TypedExtensionConfigSchema } from "../generated/envoy/config/core/v3/extension_pb.js";
import { HeaderValueOption_HeaderAppendAction } from "../generated/envoy/config/core/v3/base_pb.js";
import type { HeaderMutationSchema as Change } from "../generated/envoy/config/common/mutation_rules/v3/mutation_rules_pb.js";
import { HeaderMutationSchema } from "../generated/envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation_pb.js";
import { HOPS_HEADER, REASON_HEADER, ROUTE_HEADER } from "../../routing/reasons.ts";
import type { ProxyOptions } from "../options.ts";
import { setHeader } from "./header-changes.ts";
import { TABLE_HEADER } from "./scope.ts";
import { packed } from "./typed.ts";

type ChangeInit = MessageInitShape<typeof Change>;

/** Said by the gateway, or by nobody (B54). */
const OWN = ["forwarded", "x-real-ip", "x-forwarded-port", "proxy-authorization", REASON_HEADER, ROUTE_HEADER];
/** What backends take for the word of a proxy; a client that is none is not believed in any of it. */
const OF_PROXIES = [
  "x-client-ip",
  "x-cluster-client-ip",
  "true-client-ip",
  "x-original-url",
  "x-original-host",
  "x-rewrite-url",
];

const without = (value: string): ChangeInit => ({ action: { case: "remove", value } });
const withoutPrefix = (value: string): ChangeInit => ({
  action: { case: "removeOnMatch", value: { keyMatcher: { matchPattern: { case: "prefix", value } } } },
});

const set = (key: string, value: string): ChangeInit => ({ action: { case: "append", value: setHeader(key, value) } });
const setIfAbsent = (key: string, value: string): ChangeInit => ({
  action: {
    case: "append",
    value: { header: { key, value }, appendAction: HeaderValueOption_HeaderAppendAction.ADD_IF_ABSENT },
  },
});

const PEER = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%";
const HOST = "%REQ(:AUTHORITY)%";
/** One more than the request says; what is no number says nothing. */
const HOPS = `%CEL('${HOPS_HEADER}' in request.headers && request.headers['${HOPS_HEADER}'].matches('^[0-9]{1,3}$') ? int(request.headers['${HOPS_HEADER}']) + 1 : 1)%`;

/**
 * What a request says that it may not say is gone before any rule is asked, and what we say of it is there.
 *
 * @param table  Where it is looked up; undefined: there is only one place.
 */
export function earlyHeaders(
  { trustedHops }: ProxyOptions,
  table: string | undefined,
): MessageInitShape<typeof TypedExtensionConfigSchema> {
  const ofProxies =
    trustedHops > 0
      ? [setIfAbsent("x-forwarded-host", HOST)]
      : [
          ...OF_PROXIES.map(without),
          withoutPrefix("x-forwarded-"),
          set("x-forwarded-for", PEER),
          set("x-forwarded-host", HOST),
        ];
  const place = table === undefined ? [] : [set(TABLE_HEADER, table)];
  const mutations = [...OWN.map(without), withoutPrefix("x-envoy-"), ...ofProxies, set(HOPS_HEADER, HOPS), ...place];
  return {
    name: "envoy.http.early_header_mutation.header_mutation",
    typedConfig: packed(HeaderMutationSchema, { mutations }),
  };
}
