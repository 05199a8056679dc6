import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { MatchEntry } from "../routing/precedence.ts";
import type { GatewayRequest } from "./gateway-request.ts";
import type { ForwardingFacts } from "./headers.ts";

/** A request that a rule has been chosen for, and that goes to a backend. */
export interface Forwarding {
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  readonly request: GatewayRequest;
  readonly entry: MatchEntry;
  readonly facts: ForwardingFacts;
  /** Present when the client asks for another protocol on this connection. */
  readonly upgrade?: { readonly protocol: string; readonly socket: Duplex; readonly head: Buffer };
}
