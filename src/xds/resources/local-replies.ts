import { type MessageInitShape, create } from "@bufbuild/protobuf";
import { ExpressionFilterSchema } from "../generated/envoy/extensions/access_loggers/filters/cel/v3/cel_pb.js";
import {
  type AccessLogFilter,
  AccessLogFilterSchema,
} from "../generated/envoy/config/accesslog/v3/accesslog_pb.js";
import type {
  LocalReplyConfigSchema,
  ResponseMapperSchema,
} from "../generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js";
import { REASON_HEADER, STATUS_OF } from "../../routing/reasons.ts";
import type { ReasonWord } from "../../routing/rule.ts";
import type { ProxyOptions } from "../options.ts";
import { setHeader } from "./header-changes.ts";
import { packed } from "./typed.ts";

type Mapper = MessageInitShape<typeof ResponseMapperSchema>;

const withFlags = (...flags: string[]): AccessLogFilter =>
  create(AccessLogFilterSchema, { filterSpecifier: { case: "responseFlagFilter", value: { flags } } });

const withDetails = (expression: string): AccessLogFilter =>
  create(AccessLogFilterSchema, {
    filterSpecifier: {
      case: "extensionFilter",
      value: {
        name: "envoy.access_loggers.extension_filters.cel",
        configType: { case: "typedConfig", value: packed(ExpressionFilterSchema, { expression }) },
      },
    },
  });

/** Which word stands for what Envoy says of its own answers; the first that fits. @source Envoy, response flags and code details. */
const WORDS: readonly (readonly [AccessLogFilter, ReasonWord])[] = [
  [withDetails("response.code_details == 'upstream_per_try_timeout'"), "BackendTimeout"],
  [withDetails("response.code_details == 'request_payload_too_large'"), "BodyTooLarge"],
  [withFlags("UT"), "RequestTimeout"],
  [withFlags("SI"), "IdleTimeout"],
  [withFlags("UH"), "NoEndpoints"],
  [withFlags("NC"), "InvalidBackend"],
  [withFlags("UO"), "CircuitOpen"],
  [withFlags("UF"), "ConnectFailure"],
  [withFlags("UPE"), "BadResponse"],
  [withFlags("UC", "UR", "LR"), "Reset"],
  [withFlags("OM"), "Overloaded"],
  [withFlags("NR"), "NoRoute"],
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

const both = (one: AccessLogFilter, other: AccessLogFilter): AccessLogFilter =>
  create(AccessLogFilterSchema, { filterSpecifier: { case: "andFilter", value: { filters: [one, other] } } });

function mapper(filter: AccessLogFilter, reason: ReasonWord, body: string, { showReason }: ProxyOptions): Mapper {
  return {
    filter,
    statusCode: STATUS_OF[reason],
    body: { specifier: { case: "inlineString", value: body } },
    headersToAdd: showReason ? [setHeader(REASON_HEADER, reason)] : [],
  };
}

/** Answers that Envoy makes itself look like ours. To a gRPC client the text is the message of its status. */
export function localReplies(options: ProxyOptions): MessageInitShape<typeof LocalReplyConfigSchema> {
  return {
    mappers: WORDS.flatMap(([filter, reason]) => [
      mapper(both(filter, GRPC), reason, reason, options),
      mapper(filter, reason, `${reason}\n`, options),
    ]),
    bodyFormat: {
      format: { case: "textFormatSource", value: { specifier: { case: "inlineString", value: "%LOCAL_REPLY_BODY%" } } },
      contentType: "text/plain; charset=utf-8",
    },
  };
}
