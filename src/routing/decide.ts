import { bySpecificity, covers } from "./hostname.ts";
import type { Listener } from "./listener.ts";
import type { RequestView } from "./match.ts";
import type { MatchEntry } from "./precedence.ts";
import type { RoutingTableView } from "./routing-table.ts";

export type Decision =
  | { readonly kind: "route"; readonly listener: Listener; readonly hostname: string; readonly entry: MatchEntry }
  | { readonly kind: "noRoute"; readonly listener?: Listener; readonly hostname?: string }
  /** The Host belongs to another listener than the one that the TLS handshake chose, which may be gone meanwhile. */
  | { readonly kind: "misdirected"; readonly listener: Listener | undefined };

/** The listener of a socket with the most specific hostname that covers `host`. */
export function listenerFor(listeners: readonly Listener[], host: string): Listener | undefined {
  let best: Listener | undefined;
  for (const listener of listeners) {
    if (!covers(listener.hostname, host)) continue;
    if (best === undefined || bySpecificity(listener.hostname, best.hostname) < 0) best = listener;
  }
  return best;
}

/**
 * Which rule serves a request: first the listener, then the hostname, each exclusively, then the match that comes
 * first in precedence.
 *
 * @param serverName  SNI of the connection, lower-case; empty on cleartext and without SNI.
 * @param host        The request's host as {@link hostOf} gives it.
 * @throws PatternLimit
 * @source Gateway API v1 Listener.hostname and HTTPRouteRule.matches.
 */
export function decide(
  table: RoutingTableView,
  socket: string,
  serverName: string,
  host: string,
  request: RequestView,
): Decision {
  const listeners = table.listenersOn(socket);
  const listener = listenerFor(listeners, host);
  const handshake = serverName === "" ? listener : listenerFor(listeners, serverName);
  if (listener !== handshake) return { kind: "misdirected", listener: handshake };
  if (listener === undefined) return { kind: "noRoute" };
  const found = table.virtualHost(listener.id, host);
  if (found === undefined) return { kind: "noRoute", listener };
  const entry = found.host.match(request);
  if (entry === undefined) return { kind: "noRoute", listener, hostname: found.hostname };
  return { kind: "route", listener, hostname: found.hostname, entry };
}
