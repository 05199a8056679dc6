import type { EndpointsKey } from "../routing/endpoints.ts";
import type { ReasonWord, RouteRule } from "../routing/rule.ts";
import type { Downstream } from "./downstream/downstream.ts";
import type { GatewayRequest } from "./gateway-request.ts";
import type { RequestTrace } from "./trace.ts";

/** What became of one request, filled in as it goes. */
export interface RequestRecord {
  readonly downstream: Downstream;
  /** Milliseconds that never jump. */
  readonly started: number;
  /** Absent where the request was refused before it was understood. */
  request?: GatewayRequest;
  requestId?: string;
  /** The client's address after trusted proxies. */
  client?: string;
  rule?: RouteRule;
  /** Where the last try went. */
  backend?: EndpointsKey;
  endpoint?: string;
  /** Why the gateway itself answered, if it did. */
  reason?: ReasonWord;
  /** Absent where nobody follows it. */
  trace?: RequestTrace;
  tries: number;
  /** Bytes of body, as the client sent and got them. */
  bytesIn: number;
  bytesOut: number;
}

export function recordOf(downstream: Downstream): RequestRecord {
  return { downstream, started: performance.now(), tries: 0, bytesIn: 0, bytesOut: 0 };
}
