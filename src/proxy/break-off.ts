import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";

/**
 * Ends what is not whole so that its other end can tell: a plain connection with a reset, TLS without its closing
 * alert, an HTTP/2 stream with an error.
 */
export function breakOff(one: Duplex): void {
  if (one.destroyed) return;
  if (one instanceof Socket && !(one instanceof TLSSocket)) one.resetAndDestroy();
  else one.destroy(new Error("broken off"));
}
