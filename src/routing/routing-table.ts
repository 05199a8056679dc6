import type { Key } from "../api/keys.ts";
import type { EndpointSet, EndpointsKey } from "./endpoints.ts";
import { coveringHostnames } from "./hostname.ts";
import { type Listener, type ListenerId, socketOf } from "./listener.ts";
import { type MatchEntry, compareText } from "./precedence.ts";
import { VirtualHost } from "./virtual-host.ts";

export type RouteKey = Key<"ServiceRoute">;

/** Where a route's matches stand: hostnames of one listener. */
export interface Placement {
  readonly listener: ListenerId;
  readonly hostnames: readonly string[];
}

/** All that one route puts into the table. Entries are the same objects on every host. */
export interface RouteTable {
  readonly entries: readonly MatchEntry[];
  readonly placements: readonly Placement[];
}

/** What changed since the last one; undefined = gone. Serves a table in this process as well as one elsewhere. */
export interface TableDiff {
  readonly listeners: ReadonlyMap<ListenerId, Listener | undefined>;
  readonly routes: ReadonlyMap<RouteKey, RouteTable | undefined>;
  readonly endpoints: ReadonlyMap<EndpointsKey, EndpointSet | undefined>;
}

/** What may read a table: data planes, explain, dumps. */
export interface RoutingTableView {
  readonly listeners: ReadonlyMap<ListenerId, Listener>;
  readonly routes: ReadonlyMap<RouteKey, RouteTable>;
  readonly endpoints: ReadonlyMap<EndpointsKey, EndpointSet>;
  /** `address:port` of everything that is to be bound. */
  sockets(): Iterable<string>;
  listenersOn(socket: string): readonly Listener[];
  virtualHost(listener: ListenerId, host: string): NamedHost | undefined;
  /** Every hostname of a listener that covers `host`, the most specific first: the others are not asked. */
  coveringHosts(listener: ListenerId, host: string): Iterable<NamedHost>;
}

export interface NamedHost {
  readonly hostname: string;
  readonly host: VirtualHost;
}

/**
 * The live table. A diff is applied in one synchronous step, so a request sees all of it or nothing, and its cost grows
 * with the diff.
 */
export class RoutingTable implements RoutingTableView {
  readonly listeners = new Map<ListenerId, Listener>();
  readonly routes = new Map<RouteKey, RouteTable>();
  readonly endpoints = new Map<EndpointsKey, EndpointSet>();
  readonly #hosts = new Map<ListenerId, Map<string, VirtualHost>>();
  readonly #sockets = new Map<string, Listener[]>();

  /** @returns The routes whose standing among others may have changed, those of the diff not included. */
  apply(diff: TableDiff): ReadonlySet<RouteKey> {
    const touched = new Set<RouteKey>();
    for (const [key, set] of diff.endpoints) assign(this.endpoints, key, set);
    for (const [id, listener] of diff.listeners) this.#setListener(id, listener);
    for (const [key, table] of diff.routes) this.#setRoute(key, table, touched);
    for (const key of diff.routes.keys()) touched.delete(key);
    return touched;
  }

  listenersOn(socket: string): readonly Listener[] {
    return this.#sockets.get(socket) ?? [];
  }

  sockets(): Iterable<string> {
    return this.#sockets.keys();
  }

  /** The most specific hostname of a listener that any route has and that covers `host`. */
  virtualHost(listener: ListenerId, host: string): NamedHost | undefined {
    const [first] = this.coveringHosts(listener, host);
    return first;
  }

  *coveringHosts(listener: ListenerId, host: string): Generator<NamedHost> {
    const hosts = this.#hosts.get(listener);
    if (hosts === undefined) return;
    for (const hostname of coveringHostnames(host)) {
      const found = hosts.get(hostname);
      if (found !== undefined) yield { hostname, host: found };
    }
  }

  /** The entries of `route` that another entry takes every request from, with that entry; once per entry. */
  shadowed(route: RouteKey): readonly { readonly entry: MatchEntry; readonly winner: MatchEntry }[] {
    const table = this.routes.get(route);
    if (table === undefined) return [];
    return table.entries.flatMap((entry) => {
      const winner = this.#winnerEverywhere(entry, table.placements);
      return winner === undefined ? [] : [{ entry, winner }];
    });
  }

  /** Who wins over `entry` where it stands first, provided that it wins nowhere. */
  #winnerEverywhere(entry: MatchEntry, placements: readonly Placement[]): MatchEntry | undefined {
    let first: MatchEntry | undefined;
    for (const { listener, hostnames } of placements) {
      const hosts = this.#hosts.get(listener);
      for (const hostname of hostnames) {
        const winner = hosts?.get(hostname)?.winner(entry);
        if (winner === undefined || winner === entry) return undefined;
        first ??= winner;
      }
    }
    return first;
  }

  #setListener(id: ListenerId, listener: Listener | undefined): void {
    const old = this.listeners.get(id);
    if (old !== undefined) {
      const rest = this.listenersOn(socketOf(old)).filter((other) => other.id !== id);
      assign(this.#sockets, socketOf(old), rest.length === 0 ? undefined : rest);
    }
    if (listener !== undefined) {
      const others = this.listenersOn(socketOf(listener));
      this.#sockets.set(
        socketOf(listener),
        [...others, listener].sort((a, b) => compareText(a.id, b.id)),
      );
    }
    assign(this.listeners, id, listener);
  }

  #setRoute(key: RouteKey, table: RouteTable | undefined, touched: Set<RouteKey>): void {
    const old = this.routes.get(key);
    if (old !== undefined) this.#place(old, (host, entry) => (note(host, entry, touched), host.remove(entry)));
    if (table !== undefined) this.#place(table, (host, entry) => (host.add(entry), note(host, entry, touched)));
    assign(this.routes, key, table);
  }

  #place({ entries, placements }: RouteTable, act: (host: VirtualHost, entry: MatchEntry) => void): void {
    for (const { listener, hostnames } of placements) {
      let hosts = this.#hosts.get(listener);
      if (hosts === undefined) this.#hosts.set(listener, (hosts = new Map<string, VirtualHost>()));
      for (const hostname of hostnames) {
        let host = hosts.get(hostname);
        if (host === undefined) hosts.set(hostname, (host = new VirtualHost()));
        for (const entry of entries) act(host, entry);
        if (host.size === 0) hosts.delete(hostname);
      }
      if (hosts.size === 0) this.#hosts.delete(listener);
    }
  }
}

function note(host: VirtualHost, entry: MatchEntry, touched: Set<RouteKey>): void {
  for (const other of host.affected(entry)) touched.add(other.rule.route);
}

function assign<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}

export function emptyDiff(): {
  listeners: Map<ListenerId, Listener | undefined>;
  routes: Map<RouteKey, RouteTable | undefined>;
  endpoints: Map<EndpointsKey, EndpointSet | undefined>;
} {
  return { listeners: new Map(), routes: new Map(), endpoints: new Map() };
}
