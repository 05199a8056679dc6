import type { EndpointsKey } from "../../routing/endpoints.ts";
import { type Listener, type ListenerId, socketOf } from "../../routing/listener.ts";
import { compareText } from "../../routing/precedence.ts";
import type { RouteKey } from "../../routing/routing-table.ts";
import type { ProxyOptions, TableView } from "../options.ts";
import type { ClusterCache, ClusterUse } from "../resources/cluster-uses.ts";
import type { HostCell, RouteCache } from "../resources/host-cell.ts";
import { httpListener, tableOf } from "../resources/listener.ts";
import { type Resource, type ResourceId, idOf } from "../resources/resource.ts";
import { routeTables } from "../resources/route-tables.ts";
import { secretOf } from "../resources/secret.ts";
import { type Change, Changes } from "./changes.ts";
import { ClusterBook } from "./cluster-book.ts";
import { HostBook } from "./host-book.ts";

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
  /** Sockets of which only routes are others. */
  readonly #dirtyTables = new Set<string>();
  readonly #tablesOf = new Map<string, readonly ResourceId[]>();
  #secrets: readonly ResourceId[] = [];

  constructor(table: TableView, options: ProxyOptions, caches: Caches) {
    this.#table = table;
    this.#options = options;
    this.#clusters = new ClusterBook(this.#changes, caches.clusters, (key) => table.endpoints.get(key));
    this.#hosts = new HostBook(table, options, caches.routes);
  }

  get resources(): ReadonlyMap<ResourceId, Resource> {
    return this.#changes.resources;
  }

  listener(id: ListenerId, listener: Listener | undefined): void {
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

  /** The resources that hold the routes of a listener. */
  routesOf(id: ListenerId): readonly ResourceId[] {
    const listener = this.#listeners.get(id);
    if (listener === undefined) return [];
    const socket = socketOf(listener);
    return [idOf("RouteConfiguration", tableOf(listener, this.#listenersOn(socket).length > 1))];
  }

  /** What has changed since the last time. */
  flush(): Change {
    for (const id of this.#hosts.make()) {
      const listener = this.#listeners.get(id);
      if (listener !== undefined) this.#dirtyTables.add(socketOf(listener));
    }
    if (this.#dirtySockets.size > 0) this.#makeSecrets();
    for (const socket of this.#dirtySockets) this.#makeSocket(socket);
    for (const socket of this.#dirtyTables) this.#makeTables(socket);
    this.#dirtySockets.clear();
    this.#dirtyTables.clear();
    return this.#changes.take();
  }

  #makeSecrets(): void {
    const certificates = [...this.#listeners.values()].flatMap((one) => one.certificates);
    this.#secrets = this.#replace(this.#secrets, certificates.map(secretOf));
  }

  #makeSocket(socket: string): void {
    this.#dirtyTables.add(socket);
    const [first, ...others] = this.#listenersOn(socket);
    if (first === undefined) this.#changes.drop(idOf("Listener", socket));
    else this.#changes.set(httpListener([first, ...others], this.#options));
  }

  #makeTables(socket: string): void {
    const { routes } = this.#table;
    const cellsOf = ({ id }: Listener): Iterable<HostCell> => this.#hosts.cells(id);
    const tables = routeTables(this.#listenersOn(socket), { cellsOf, routes, options: this.#options });
    const ids = this.#replace(this.#tablesOf.get(socket) ?? [], tables);
    if (ids.length === 0) this.#tablesOf.delete(socket);
    else this.#tablesOf.set(socket, ids);
  }

  #replace(old: readonly ResourceId[], by: readonly Resource[]): readonly ResourceId[] {
    const ids = new Set(by.map(({ id }) => id));
    for (const id of old) if (!ids.has(id)) this.#changes.drop(id);
    for (const resource of by) this.#changes.set(resource);
    return [...ids];
  }

  #listenersOn(socket: string): readonly Listener[] {
    return [...this.#listeners.values()]
      .filter((one) => socketOf(one) === socket)
      .sort((a, b) => compareText(a.id, b.id));
  }
}
