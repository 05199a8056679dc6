import type { MessageInitShape } from "@bufbuild/protobuf";
import type { FilterSchema } from "../generated/envoy/config/listener/v3/listener_components_pb.js";
import { HttpProtocolOptions_HeadersWithUnderscoresAction as Underscores } from "../generated/envoy/config/core/v3/protocol_pb.js";
import { GrpcWebSchema } from "../generated/envoy/extensions/filters/http/grpc_web/v3/grpc_web_pb.js";
import { RouterSchema } from "../generated/envoy/extensions/filters/http/router/v3/router_pb.js";
import {
  HttpConnectionManagerSchema,
  HttpConnectionManager_CodecType,
  HttpConnectionManager_PathWithEscapedSlashesAction as EscapedSlashes,
  HttpConnectionManager_ServerHeaderTransformation,
} from "../generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js";
import { UuidRequestIdConfigSchema } from "../generated/envoy/extensions/request_id/uuid/v3/uuid_pb.js";
import type { ProxyOptions } from "../options.ts";
import { ADS } from "./ads-source.ts";
import { earlyHeaders } from "./early-headers.ts";
import { hostFilters } from "./host-scripts.ts";
import { localReplies } from "./local-replies.ts";
import { requestPolicy } from "./request-policy.ts";
import { scopedRoutes } from "./scope.ts";
import { durationOf, extension, packed } from "./typed.ts";

const UNDERSCORES = {
  allow: Underscores.ALLOW,
  drop: Underscores.DROP_HEADER,
  reject: Underscores.REJECT_REQUEST,
} as const;
const HEADERS_MS = 10_000;
const IDLE_CONNECTION_MS = 75_000;
const MOST_HEADERS = 100;
const MOST_HEADER_KB = 16;
const CLOSING_MS = 1000;
const STREAM_WINDOW = 64 * 1024;
const CONNECTION_WINDOW = 1024 * 1024;
const MOST_STREAMS = 100;
/** Streams that a client may reset at once, and each second after that. */
const RESETS = { burst: 200n, rate: 33n } as const;

/** Where a listener's requests are looked up. */
export interface TableRef {
  readonly name: string;
  /** Whether each hostname is a scope. */
  readonly isScoped: boolean;
}

/**
 * How requests are taken, as docs/requests.md says it. Every limit is written out: none is Envoy's own.
 *
 * @param scheme  Of the connections.
 */
export function httpConnectionManager(
  { name, isScoped }: TableRef,
  scheme: "http" | "https",
  options: ProxyOptions,
): MessageInitShape<typeof FilterSchema> {
  return extension("envoy.filters.network.http_connection_manager", HttpConnectionManagerSchema, {
    statPrefix: scheme,
    codecType: options.http2 ? HttpConnectionManager_CodecType.AUTO : HttpConnectionManager_CodecType.HTTP1,
    routeSpecifier: isScoped
      ? { case: "scopedRoutes", value: scopedRoutes }
      : { case: "rds", value: { routeConfigName: name, configSource: ADS } },
    httpFilters: [
      requestPolicy,
      ...(isScoped ? hostFilters(name) : []),
      extension("envoy.filters.http.grpc_web", GrpcWebSchema, {}),
      extension("envoy.filters.http.router", RouterSchema, { suppressEnvoyHeaders: true }),
    ],
    commonHttpProtocolOptions: {
      idleTimeout: durationOf(IDLE_CONNECTION_MS),
      maxHeadersCount: MOST_HEADERS,
      headersWithUnderscoresAction: UNDERSCORES[options.underscores],
      maxStreamDuration: durationOf(0),
    },
    httpProtocolOptions: { acceptHttp10: true, allowAbsoluteUrl: true, enableTrailers: false },
    http2ProtocolOptions: {
      maxConcurrentStreams: MOST_STREAMS,
      initialStreamWindowSize: STREAM_WINDOW,
      initialConnectionWindowSize: CONNECTION_WINDOW,
      allowConnect: true,
      streamResetBurst: RESETS.burst,
      streamResetRate: RESETS.rate,
    },
    maxRequestHeadersKb: MOST_HEADER_KB,
    requestHeadersTimeout: durationOf(HEADERS_MS),
    // A rule says how long its requests may be idle, and how long they may take.
    streamIdleTimeout: durationOf(0),
    requestTimeout: durationOf(0),
    delayedCloseTimeout: durationOf(CLOSING_MS),
    useRemoteAddress: true,
    xffNumTrustedHops: options.trustedHops,
    // Where nobody is believed, the header has been made already.
    skipXffAppend: options.trustedHops === 0,
    internalAddressConfig: {},
    earlyHeaderMutationExtensions: [earlyHeaders(options, isScoped ? name : undefined)],
    generateRequestId: true,
    preserveExternalRequestId: true,
    requestIdExtension: { typedConfig: packed(UuidRequestIdConfigSchema, { packTraceReason: false }) },
    normalizePath: true,
    mergeSlashes: true,
    pathWithEscapedSlashesAction: EscapedSlashes.REJECT_REQUEST,
    stripTrailingHostDot: true,
    serverHeaderTransformation: HttpConnectionManager_ServerHeaderTransformation.PASS_THROUGH,
    upgradeConfigs: [{ upgradeType: "websocket", enabled: true }],
    localReplyConfig: localReplies(options),
  });
}
