import { ANY_HOST, bySpecificity, covers } from "../../routing/hostname.ts";
import type { Listener } from "../../routing/listener.ts";
import { compareText } from "../../routing/precedence.ts";
import type { RouteKey, RouteTable } from "../../routing/routing-table.ts";
import type { ReasonWord } from "../../routing/rule.ts";
import type { ProxyOptions } from "../options.ts";
import type { HostCell } from "./host-cell.ts";
import { tableOf } from "./listener.ts";
import type { Resource } from "./resource.ts";
import { routeConfiguration } from "./route-configuration.ts";
import { virtualHost } from "./virtual-host.ts";

export interface TableParts {
  readonly cellsOf: (listener: Listener) => Iterable<HostCell>;
  readonly routes: ReadonlyMap<RouteKey, RouteTable>;
  readonly options: ProxyOptions;
}

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
  { cellsOf, routes, options }: TableParts,
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
  const keys = new Set(cells.flatMap((cell) => [...cell.routes]));
  const known = [...keys].flatMap((key): [RouteKey, RouteTable][] => {
    const route = routes.get(key);
    return route === undefined ? [] : [[key, route]];
  });
  const uses = [...new Set(cells.flatMap((cell) => cell.uses))];
  return { ...routeConfiguration(name, sorted, uses, options), routes: new Map(known) };
}

/**
 * The routes of the listeners of one socket. With HTTPS the handshake has chosen a listener: a request for a host of
 * another one is misdirected.
 */
export function routeTables(listeners: readonly Listener[], parts: TableParts): readonly Resource[] {
  const [first] = listeners;
  if (first === undefined) return [];
  const shared = listeners.length > 1;
  if (first.protocol === "HTTP") return [tableFor(tableOf(first, shared), listeners, listeners, parts)];
  return listeners.map((one) => tableFor(tableOf(one, shared), [one], listeners, parts));
}
