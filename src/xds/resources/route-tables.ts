import { ANY_HOST, bySpecificity, covers } from "../../routing/hostname.ts";
import type { Listener } from "../../routing/listener.ts";
import { compareText } from "../../routing/precedence.ts";
import type { ReasonWord } from "../../routing/rule.ts";
import type { ProxyOptions } from "../options.ts";
import type { HostCell } from "./host-cell.ts";
import { tableOf } from "./listener.ts";
import type { Resource } from "./resource.ts";
import { routeConfiguration } from "./route-configuration.ts";
import { virtualHost } from "./virtual-host.ts";

type CellsOf = (listener: Listener) => Iterable<HostCell>;

/** Whether requests for it go to a more specific listener of the socket. */
const isTaken = (hostname: string, by: Listener, listeners: readonly Listener[]): boolean =>
  listeners.some((other) => bySpecificity(other.hostname, by.hostname) < 0 && covers(other.hostname, hostname));

/**
 * What is looked up by the host alone: first the listener, then its hostnames, each exclusively.
 *
 * @param listeners  Whose hosts are served here.
 * @param all        All of the socket.
 */
function tableFor(
  name: string,
  listeners: readonly Listener[],
  all: readonly Listener[],
  cellsOf: CellsOf,
  options: ProxyOptions,
): Resource {
  const cells = listeners.flatMap((one) => [...cellsOf(one)].filter(({ hostname }) => !isTaken(hostname, one, all)));
  const hosts = new Map(cells.map(({ hostname, bytes }) => [hostname, bytes]));
  const answer = (hostname: string, reason: ReasonWord): void => {
    if (!hosts.has(hostname)) hosts.set(hostname, virtualHost(hostname, [], reason, options));
  };
  for (const listener of all)
    answer(listener.hostname, listeners.includes(listener) ? "NoRoute" : "MisdirectedRequest");
  answer(ANY_HOST, "NoRoute");
  const sorted = [...hosts].sort(([a], [b]) => compareText(a, b)).map(([, bytes]) => bytes);
  return routeConfiguration(name, sorted, [...new Set(cells.flatMap(({ uses }) => uses))], options);
}

/**
 * The routes of the listeners of one socket. With HTTPS the handshake has chosen a listener: a request for a host of
 * another one is misdirected.
 */
export function routeTables(
  listeners: readonly Listener[],
  cellsOf: CellsOf,
  options: ProxyOptions,
): readonly Resource[] {
  const [first] = listeners;
  if (first === undefined) return [];
  const shared = listeners.length > 1;
  if (first.protocol === "HTTP") return [tableFor(tableOf(first, shared), listeners, listeners, cellsOf, options)];
  return listeners.map((one) => tableFor(tableOf(one, shared), [one], listeners, cellsOf, options));
}
