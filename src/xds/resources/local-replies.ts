import { type MessageInitShape, create } from "@bufbuild/protobuf";
import { ExpressionFilterSchema } from "../generated/envoy/extensions/access_loggers/filters/cel/v3/cel_pb.js";
import { type AccessLogFilter, AccessLogFilterSchema } from "../generated/envoy/config/accesslog/v3/accesslog_pb.js";
import type {
  LocalReplyConfigSchema,
  ResponseMapperSchema,
} from "../generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js";
import { REASON_HEADER, STATUS_OF } from "../../routing/reasons.ts";
import type { ReasonWord } from "../../routing/rule.ts";
import type { ProxyOptions } from "../options.ts";
import { METADATA } from "./metadata.ts";
import { REFUSALS, detailsOf } from "./request-policy.ts";
import { setHeader } from "./header-changes.ts";
import { packed } from "./typed.ts";

type Mapper = MessageInitShape<typeof ResponseMapperSchema>;

const withFlags = (...flags: string[]): AccessLogFilter =>
  create(AccessLogFilterSchema, { filterSpecifier: { case: "responseFlagFilter", value: { flags } } });

const whereTrue = (expression: string): AccessLogFilter =>
  create(AccessLogFilterSchema, {
    filterSpecifier: {
      case: "extensionFilter",
      value: {
        name: "envoy.access_loggers.extension_filters.cel",
        configType: { case: "typedConfig", value: packed(ExpressionFilterSchema, { expression }) },
      },
    },
  });

const both = (one: AccessLogFilter, other: AccessLogFilter): AccessLogFilter =>
  create(AccessLogFilterSchema, { filterSpecifier: { case: "andFilter", value: { filters: [one, other] } } });

const OF_WATCHED = whereTrue(`xds.cluster_metadata.filter_metadata['${METADATA}']['watched'] == true`);

interface Word {
  readonly filter: AccessLogFilter;
  readonly reason: ReasonWord;
  /** Where the word allows several. */
  readonly status?: number;
}

/** Which word stands for what Envoy says of its own answers; the first that fits. @source Envoy, response flags and code details. */
const WORDS: readonly Word[] = [
  { filter: whereTrue("response.code_details == 'upstream_per_try_timeout'"), reason: "BackendTimeout" },
  { filter: whereTrue("response.code_details == 'request_payload_too_large'"), reason: "BodyTooLarge" },
  { filter: withFlags("UT"), reason: "RequestTimeout" },
  { filter: withFlags("SI"), reason: "IdleTimeout" },
  { filter: both(withFlags("UH"), OF_WATCHED), reason: "NoHealthyEndpoints" },
  { filter: withFlags("UH"), reason: "NoEndpoints" },
  { filter: withFlags("NC"), reason: "InvalidBackend" },
  { filter: withFlags("UO"), reason: "CircuitOpen" },
  { filter: withFlags("UF"), reason: "ConnectFailure" },
  { filter: withFlags("UPE"), reason: "BadResponse" },
  { filter: withFlags("UC", "UR", "LR"), reason: "Reset" },
  { filter: withFlags("OM"), reason: "Overloaded" },
  { filter: withFlags("NR"), reason: "NoRoute" },
];

const GRPC = create(AccessLogFilterSchema, {
  filterSpecifier: {
    case: "headerFilter",
    value: {
      header: {
        name: "content-type",
        headerMatchSpecifier: {
          case: "stringMatch",
          value: { matchPattern: { case: "safeRegex", value: { regex: "(?i)application/grpc(?:[+;].*)?" } } },
        },
      },
    },
  },
});

const REFUSED: readonly Word[] = REFUSALS.map((refusal) => ({
  filter: whereTrue(`response.code_details == '${detailsOf(refusal)}'`),
  reason: refusal.reason,
  status: refusal.status,
}));

function mapper(filter: AccessLogFilter, { reason, status }: Word, body: string, { showReason }: ProxyOptions): Mapper {
  return {
    filter,
    statusCode: status ?? STATUS_OF[reason],
    body: { specifier: { case: "inlineString", value: body } },
    headersToAdd: showReason ? [setHeader(REASON_HEADER, reason)] : [],
  };
}

/** Answers that Envoy makes itself look like ours. To a gRPC client the text is the message of its status. */
export function localReplies(options: ProxyOptions): MessageInitShape<typeof LocalReplyConfigSchema> {
  return {
    mappers: [...REFUSED, ...WORDS].flatMap((word) => [
      mapper(both(word.filter, GRPC), word, word.reason, options),
      mapper(word.filter, word, `${word.reason}\n`, options),
    ]),
    bodyFormat: {
      format: { case: "textFormatSource", value: { specifier: { case: "inlineString", value: "%LOCAL_REPLY_BODY%" } } },
      contentType: "text/plain; charset=utf-8",
    },
  };
}
