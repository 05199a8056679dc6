import type { EndpointsKey } from "../../routing/endpoints.ts";
import { type Listener, type ListenerId, socketOf } from "../../routing/listener.ts";
import { compareText } from "../../routing/precedence.ts";
import type { RouteKey } from "../../routing/routing-table.ts";
import type { ProxyOptions, TableView } from "../options.ts";
import type { ClusterCache, ClusterUse } from "../resources/cluster-uses.ts";
import type { RouteCache } from "../resources/host-cell.ts";
import { httpListener, isHttp } from "../resources/listener.ts";
import { type Resource, type ResourceId, idOf } from "../resources/resource.ts";
import { secretOf } from "../resources/secret.ts";
import { type Change, Changes } from "./changes.ts";
import { ClusterBook } from "./cluster-book.ts";
import { HostBook } from "./host-book.ts";
import { SocketTables } from "./socket-tables.ts";

/** What all Gateways share, so that nothing is encoded twice. */
export interface Caches {
  readonly clusters: ClusterCache;
  readonly routes: RouteCache;
}

/** What the proxies of one Gateway are to have. Only what has been touched is made anew. */
export class GatewayResources {
  readonly #table: TableView;
  readonly #options: ProxyOptions;
  readonly #changes = new Changes();
  readonly #clusters: ClusterBook;
  readonly #hosts: HostBook;
  readonly #listeners = new Map<ListenerId, Listener>();
  /** Sockets of which a listener is another. */
  readonly #dirtySockets = new Set<string>();
  readonly #sockets = new Map<string, SocketTables>();
  #secrets: readonly ResourceId[] = [];
  readonly #scopedFrom: number;
  #hasSwitched = false;

  /** @param scopedFrom  Tables of so many hostnames are cut up. */
  constructor(table: TableView, options: ProxyOptions, caches: Caches, scopedFrom: number) {
    this.#scopedFrom = scopedFrom;
    this.#table = table;
    this.#options = options;
    this.#clusters = new ClusterBook(this.#changes, caches.clusters, (key) => table.endpoints.get(key));
    this.#hosts = new HostBook(table, options, caches.routes);
  }

  get resources(): ReadonlyMap<ResourceId, Resource> {
    return this.#changes.resources;
  }

  listener(id: ListenerId, now: Listener | undefined): void {
    const listener = now !== undefined && isHttp(now) ? now : undefined;
    const old = this.#listeners.get(id);
    for (const one of [old, listener]) if (one !== undefined) this.#dirtySockets.add(socketOf(one));
    if (listener === undefined) this.#listeners.delete(id);
    else this.#listeners.set(id, listener);
    this.#hosts.listener(id);
  }

  /** Routes of this hostname of a listener are others. */
  host(id: ListenerId, hostname: string): void {
    this.#hosts.touch(id, hostname);
  }

  /** A route needs these clusters here. */
  route(key: RouteKey, uses: ReadonlyMap<string, ClusterUse>): void {
    this.#clusters.route(key, uses);
  }

  endpoints(key: EndpointsKey): void {
    this.#clusters.endpoints(key, this.#table.endpoints.get(key));
    this.#hosts.endpoints(key);
  }

  /** The resources that hold the routes of a listener's hostnames. */
  routesOf(id: ListenerId, hostnames: readonly string[]): readonly ResourceId[] {
    const listener = this.#listeners.get(id);
    const tables = listener === undefined ? undefined : this.#sockets.get(socketOf(listener));
    if (listener === undefined || tables === undefined) return [];
    return [...new Set(hostnames.flatMap((hostname) => tables.idsFor(listener, hostname)))];
  }

  /** What has changed since the last time. */
  flush(): Change {
    const hosts = this.#hosts.make();
    if (this.#dirtySockets.size > 0) this.#makeSecrets();
    for (const socket of this.#dirtySockets) this.#tablesOf(socket).listeners(this.#listenersOn(socket));
    const touched = new Set(this.#dirtySockets);
    for (const [id, hostnames] of hosts) {
      const listener = this.#listeners.get(id);
      if (listener === undefined || hostnames.length === 0) continue;
      touched.add(socketOf(listener));
      for (const hostname of hostnames) this.#tablesOf(socketOf(listener)).host(hostname);
    }
    for (const socket of touched) this.#makeSocket(socket);
    this.#dirtySockets.clear();
    return this.#changes.take();
  }

  /** Whether some layout has changed since the last look, so that there is a former one to retire. */
  takeSwitched(): boolean {
    const has = this.#hasSwitched;
    this.#hasSwitched = false;
    return has;
  }

  /** No connection is left that goes by a former layout. */
  retire(): Change {
    for (const tables of this.#sockets.values()) tables.retire();
    return this.#changes.take();
  }

  #makeSecrets(): void {
    const made = [...this.#listeners.values()].flatMap((one) => one.certificates).map(secretOf);
    const ids = new Set(made.map(({ id }) => id));
    for (const id of this.#secrets) if (!ids.has(id)) this.#changes.drop(id);
    for (const resource of made) this.#changes.set(resource);
    this.#secrets = [...ids];
  }

  #makeSocket(socket: string): void {
    const tables = this.#tablesOf(socket);
    const switches = tables.make(this.#table.routes);
    this.#hasSwitched ||= switches;
    if (!switches && !this.#dirtySockets.has(socket)) return;
    const [first, ...others] = this.#listenersOn(socket);
    if (first !== undefined)
      return this.#changes.set(httpListener([first, ...others], (table) => tables.isScoped(table), this.#options));
    this.#changes.drop(idOf("Listener", socket));
    this.#sockets.delete(socket);
  }

  #tablesOf(socket: string): SocketTables {
    let tables = this.#sockets.get(socket);
    if (tables === undefined) {
      tables = new SocketTables({
        changes: this.#changes,
        options: this.#options,
        scopedFrom: this.#scopedFrom,
        cell: (id, hostname) => this.#hosts.cell(id, hostname),
        hostnames: (id) => this.#hosts.hostnames(id),
      });
      this.#sockets.set(socket, tables);
    }
    return tables;
  }

  #listenersOn(socket: string): readonly Listener[] {
    return [...this.#listeners.values()]
      .filter((one) => socketOf(one) === socket)
      .sort((a, b) => compareText(a.id, b.id));
  }
}
