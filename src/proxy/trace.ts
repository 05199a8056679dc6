import type { GatewayRequest } from "./gateway-request.ts";
import type { RequestRecord } from "./request-record.ts";

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
