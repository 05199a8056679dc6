import { type BlockList, isIP } from "node:net";

/** Which proxies before us are believed: so many of them whoever they are, or those of these addresses. */
export type TrustedProxies =
  { readonly kind: "hops"; readonly hops: number } | { readonly kind: "ranges"; readonly ranges: BlockList };

export const NOBODY: TrustedProxies = { kind: "hops", hops: 0 };

/** Who a request comes from, and what the backend is told of that. */
export interface ClientOrigin {
  /** The other end of the connection is a proxy that is believed. */
  readonly isProxy: boolean;
  readonly clientAddress: string;
  readonly forwardedFor: string;
  readonly scheme: "http" | "https";
  readonly forwardedHost: string;
}

export interface Arriving {
  /** The other end of the connection. */
  readonly peer: string;
  readonly scheme: "http" | "https";
  readonly authority: string;
  header(name: string): string | undefined;
}

const plain = (address: string): string => address.replace(/^::ffff:(?=[0-9.]+$)/i, "");
const contains = (ranges: BlockList, address: string): boolean =>
  isIP(address) !== 0 && ranges.check(address, isIP(address) === 4 ? "ipv4" : "ipv6");

/** The address that the farthest believed proxy saw; undefined when nobody is believed. */
function believed(trusted: TrustedProxies, peer: string, chain: readonly string[]): string | undefined {
  if (trusted.kind === "hops") return trusted.hops === 0 ? undefined : (chain.at(-trusted.hops) ?? peer);
  if (!contains(trusted.ranges, peer)) return undefined;
  return chain.findLast((address) => !contains(trusted.ranges, address)) ?? chain[0] ?? peer;
}

/**
 * What proxies before us say of a request counts only as far as the operator trusts them; anybody else's word is
 * overwritten (B54).
 *
 * @source Envoy's xff_num_trusted_hops with use_remote_address; RFC 7239 section 8.1.
 */
export function originOf(request: Arriving, trusted: TrustedProxies): ClientOrigin {
  const peer = plain(request.peer);
  const said = request.header("x-forwarded-for") ?? "";
  const chain = said.split(",").flatMap((part) => (part.trim() === "" ? [] : [plain(part.trim())]));
  const { scheme, authority } = request;
  const client = believed(trusted, peer, chain);
  if (client === undefined)
    return { isProxy: false, clientAddress: peer, forwardedFor: peer, scheme, forwardedHost: authority };
  const proto = request.header("x-forwarded-proto");
  return {
    isProxy: true,
    // What is no address names nobody.
    clientAddress: isIP(client) === 0 ? peer : client,
    forwardedFor: [...chain, peer].join(", "),
    scheme: proto === "http" || proto === "https" ? proto : scheme,
    forwardedHost: request.header("x-forwarded-host") ?? authority,
  };
}
