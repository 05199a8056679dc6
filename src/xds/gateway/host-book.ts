import { createHash } from "node:crypto";
import type { EndpointsKey } from "../../routing/endpoints.ts";
import type { Listener, ListenerId } from "../../routing/listener.ts";
import type { ProxyOptions, TableView } from "../options.ts";
import { type HostCell, type RouteCache, hostCell } from "../resources/host-cell.ts";

/** The same in every controller, and different for every hostname: whoever reads it on a copy passes no other's mirrors by it. */
const markOf = (id: ListenerId, hostname: string): string =>
  createHash("sha256").update(`${id} ${hostname}`).digest("base64url");

const NONE: ReadonlyMap<string, HostCell> = new Map();

/** The hostnames of a Gateway's listeners, each encoded once and again only when what it says has changed. */
export class HostBook {
  readonly #table: TableView;
  readonly #options: ProxyOptions;
  readonly #cache: RouteCache;
  readonly #cells = new Map<ListenerId, Map<string, HostCell>>();
  readonly #dirty = new Map<ListenerId, Set<string>>();
  /** Hostnames whose routes depend on whether a backend has endpoints. */
  readonly #followers = new Map<EndpointsKey, Map<HostCell, ListenerId>>();

  constructor(table: TableView, options: ProxyOptions, cache: RouteCache) {
    this.#table = table;
    this.#options = options;
    this.#cache = cache;
  }

  cell(id: ListenerId, hostname: string): HostCell | undefined {
    return this.#cells.get(id)?.get(hostname);
  }

  hostnames(id: ListenerId): Iterable<string> {
    return (this.#cells.get(id) ?? NONE).keys();
  }

  /** Its port or scheme is another, or it is gone. */
  listener(id: ListenerId): void {
    for (const hostname of this.hostnames(id)) this.touch(id, hostname);
  }

  touch(id: ListenerId, hostname: string): void {
    const hosts = this.#dirty.get(id);
    if (hosts === undefined) this.#dirty.set(id, new Set([hostname]));
    else hosts.add(hostname);
  }

  endpoints(key: EndpointsKey): void {
    for (const [{ hostname }, id] of this.#followers.get(key) ?? []) this.touch(id, hostname);
  }

  /** Makes what has been touched. @returns The hostnames of each listener of which something is different now. */
  make(): ReadonlyMap<ListenerId, readonly string[]> {
    const changed = [...this.#dirty].map(([id, hosts]): [ListenerId, string[]] => [
      id,
      [...hosts].filter((hostname) => this.#makeHost(id, hostname)),
    ]);
    this.#dirty.clear();
    return new Map(changed);
  }

  #makeHost(id: ListenerId, hostname: string): boolean {
    const listener = this.#table.listeners.get(id);
    const old = this.#cells.get(id)?.get(hostname);
    const cell = listener === undefined ? undefined : this.#cellOf(listener, hostname);
    for (const key of old?.follows ?? []) if (old !== undefined) this.#unfollow(key, old);
    for (const key of cell?.follows ?? []) if (cell !== undefined) this.#follow(key, cell, id);
    this.#keep(id, hostname, cell);
    return old !== cell;
  }

  #keep(id: ListenerId, hostname: string, cell: HostCell | undefined): void {
    let cells = this.#cells.get(id);
    if (cells === undefined) this.#cells.set(id, (cells = new Map<string, HostCell>()));
    if (cell === undefined) cells.delete(hostname);
    else cells.set(hostname, cell);
    if (cells.size === 0) this.#cells.delete(id);
  }

  #cellOf({ id, protocol, port }: Listener, hostname: string): HostCell | undefined {
    const found = this.#table.virtualHost(id, hostname);
    if (found?.hostname !== hostname) return undefined;
    const mark = markOf(id, hostname);
    const place = { scheme: protocol === "HTTPS" ? "https" : "http", hostname, port, mark } as const;
    const lookup = (key: EndpointsKey) => this.#table.endpoints.get(key);
    return hostCell(found.host.entries(), { place, options: this.#options, lookup }, this.#cache);
  }

  #follow(key: EndpointsKey, cell: HostCell, id: ListenerId): void {
    const followers = this.#followers.get(key);
    if (followers === undefined) this.#followers.set(key, new Map([[cell, id]]));
    else followers.set(cell, id);
  }

  #unfollow(key: EndpointsKey, cell: HostCell): void {
    const followers = this.#followers.get(key);
    followers?.delete(cell);
    if (followers?.size === 0) this.#followers.delete(key);
  }
}
