import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TypedExtensionConfigSchema } from "../generated/envoy/config/core/v3/extension_pb.js";
import type { HeaderMutationSchema as Change } from "../generated/envoy/config/common/mutation_rules/v3/mutation_rules_pb.js";
import { HeaderMutationSchema } from "../generated/envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation_pb.js";
import { REASON_HEADER, ROUTE_HEADER } from "../../routing/reasons.ts";
import type { ProxyOptions } from "../options.ts";
import { packed } from "./typed.ts";

type ChangeInit = MessageInitShape<typeof Change>;

/** Said by the gateway, or by nobody (B54). */
const OWN = ["forwarded", "x-real-ip", "x-forwarded-host", "x-forwarded-port", REASON_HEADER, ROUTE_HEADER];
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

/** What a request says that it may not say is gone before any rule is asked. */
export function earlyHeaders({ trustedHops }: ProxyOptions): MessageInitShape<typeof TypedExtensionConfigSchema> {
  const untrusted = trustedHops === 0 ? [...OF_PROXIES.map(without), withoutPrefix("x-forwarded-")] : [];
  return {
    name: "envoy.http.early_header_mutation.header_mutation",
    typedConfig: packed(HeaderMutationSchema, { mutations: [...OWN.map(without), withoutPrefix("x-envoy-"), ...untrusted] }),
  };
}
