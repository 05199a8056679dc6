import type { MatchEntry } from "../routing/precedence.ts";
import type { Downstream } from "./downstream/downstream.ts";
import type { GatewayRequest } from "./gateway-request.ts";
import type { ForwardingFacts } from "./headers.ts";
import type { RequestRecord } from "./request-record.ts";

/** A request that a rule has been chosen for, and that goes to a backend. */
export interface Forwarding {
  readonly downstream: Downstream;
  readonly request: GatewayRequest;
  readonly entry: MatchEntry;
  readonly facts: ForwardingFacts;
  readonly record: RequestRecord;
}
