import type { EndpointsKey } from "../routing/endpoints.ts";
import type { ReasonWord, RouteRule } from "../routing/rule.ts";
import type { Downstream } from "./downstream/downstream.ts";
import type { GatewayRequest } from "./gateway-request.ts";

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

/** One try at a backend, as a trace has it. */
export interface TryTrace {
  /** What tells the backend whose trace its work belongs to; in place of what the client said. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Ends it with the status of an answer, or with why there is none. Only the first time counts. */
  ended(outcome: number | string): void;
}

/** One request, as a trace has it: told in this order, and what does not happen is not told. Its end ends a try that is still on. */
export interface RequestTrace {
  readonly traceId: string;
  decided(record: RequestRecord): void;
  tried(record: RequestRecord): TryTrace;
  answering(): void;
  ended(record: RequestRecord): void;
}

/** Who follows requests; absent where nobody does. */
export interface Tracer {
  start(request: GatewayRequest, record: RequestRecord): RequestTrace;
}
