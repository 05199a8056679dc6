import { randomUUID } from "node:crypto";
import { HOPS_HEADER } from "../routing/reasons.ts";
import { originOf } from "./downstream/client-origin.ts";
import type { Via } from "./downstream/downstream.ts";
import type { GatewayOptions } from "./gateway-context.ts";
import { GatewayRequest } from "./gateway-request.ts";
import { type ForwardingFacts, endToEnd, setFacts } from "./headers.ts";

const REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/;

/** A client that says so itself only shortens its own way. */
const hopsBefore = (request: GatewayRequest): number => {
  const said = request.header(HOPS_HEADER) ?? "0";
  return /^[0-9]{1,3}$/.test(said) ? Number(said) : 0;
};

/** A request that has been admitted, with the headers that a backend would get before any rule has changed them. */
export interface ForwardedRequest {
  readonly request: GatewayRequest;
  readonly facts: ForwardingFacts;
}

interface Arrival {
  /** The address of the other end of the connection. */
  readonly peer: string;
  readonly via: Pick<Via, "scheme">;
}

/** What is matched is what a backend sees: headers that are not believed, or stay on their hop, choose no rule. */
export function forwarded(
  { peer, via: { scheme } }: Arrival,
  admitted: GatewayRequest,
  { trustedProxies }: Pick<GatewayOptions, "trustedProxies">,
): ForwardedRequest {
  const given = admitted.header("x-request-id") ?? "";
  const { authority } = admitted;
  const facts: ForwardingFacts = {
    ...originOf({ peer, scheme, authority, header: (name) => admitted.header(name) }, trustedProxies),
    hops: hopsBefore(admitted) + 1,
    requestId: REQUEST_ID.test(given) ? given : randomUUID(),
    takesTrailers: /\btrailers\b/i.test(admitted.header("te") ?? ""),
  };
  const headers = endToEnd(admitted.headers, facts.isProxy);
  setFacts(headers, facts);
  return { request: admitted.with(headers), facts };
}
