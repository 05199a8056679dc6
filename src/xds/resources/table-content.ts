import { ANY_HOST, bySpecificity, covers } from "../../routing/hostname.ts";
import type { Listener } from "../../routing/listener.ts";

/** What a table says of a hostname: a listener's routes for it, or an answer to every request. */
export type TableContent =
  | { readonly kind: "listener"; readonly listener: Listener }
  | { readonly kind: "answer"; readonly reason: "NoRoute" | "MisdirectedRequest" };

/** The listener of a socket that requests for a hostname go to. */
function ownerOf(hostname: string, listeners: readonly Listener[]): Listener | undefined {
  const covering = listeners.filter((one) => covers(one.hostname, hostname));
  return covering.sort((a, b) => bySpecificity(a.hostname, b.hostname))[0];
}

/**
 * What is looked up by the host alone: first the listener, then its hostnames, each exclusively. With HTTPS the handshake
 * has chosen a listener, and requests for hosts of another one are misdirected.
 *
 * @param own      Whose hosts are served in the table.
 * @param all      All of the socket.
 * @param hasCell  Whether a listener has routes for the very hostname.
 */
export function tableContent(
  hostname: string,
  own: readonly Listener[],
  all: readonly Listener[],
  hasCell: (listener: Listener) => boolean,
): TableContent | undefined {
  const owner = ownerOf(hostname, all);
  if (owner !== undefined && own.includes(owner) && hasCell(owner)) return { kind: "listener", listener: owner };
  const named = all.find((one) => one.hostname === hostname);
  if (named !== undefined) return { kind: "answer", reason: own.includes(named) ? "NoRoute" : "MisdirectedRequest" };
  return hostname === ANY_HOST ? { kind: "answer", reason: "NoRoute" } : undefined;
}
