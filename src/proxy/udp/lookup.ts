import { isIPv6 } from "node:net";

/** Addresses of datagrams are IP addresses: nothing is to be looked up, and every datagram keeps its turn. */
export function withoutLookup(
  address: string,
  _options: unknown,
  done: (error: null, address: string, family: number) => void,
): void {
  done(null, address, isIPv6(address) ? 6 : 4);
}
