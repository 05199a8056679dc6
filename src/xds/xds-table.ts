import type { Key } from "../api/keys.ts";
import { gatewayOfListener } from "../routing/listener.ts";
import type { RouteKey, RouteTable, RoutingTableView, TableDiff } from "../routing/routing-table.ts";
import type { Change } from "./gateway/changes.ts";
import { type Caches, GatewayResources } from "./gateway/gateway-resources.ts";
import type { ProxyOptions } from "./options.ts";
import { ClusterCache, type ClusterUse, usesOfRoute } from "./resources/cluster-uses.ts";
import { type Resource, type ResourceId, idOf } from "./resources/resource.ts";
import { RouteCache } from "./resources/host-cell.ts";

export type GatewayKey = Key<"Gateway">;

const NO_CLUSTERS: ReadonlyMap<string, ClusterUse> = new Map();

const gatewaysOf = (route: RouteTable | undefined): ReadonlySet<GatewayKey> =>
  new Set(route?.placements.map(({ listener }) => gatewayOfListener(listener)));

/** The routing table as resources of Envoy's, for each Gateway its own. The cost of a change goes with the change. */
export class XdsTable {
  readonly #table: RoutingTableView;
  readonly #options: ProxyOptions;
  readonly #caches: Caches = { clusters: new ClusterCache(), routes: new RouteCache() };
  readonly #gateways = new Map<GatewayKey, GatewayResources>();
  readonly #routes = new Map<RouteKey, RouteTable>();
  readonly #madeAt = new WeakMap<Resource, number>();
  #now = 0;

  /** @param table  Has every diff applied before {@link apply} is called with it. */
  constructor(table: RoutingTableView, options: ProxyOptions) {
    this.#table = table;
    this.#options = options;
  }

  /** What of each Gateway's resources a route is in, after {@link apply}. */
  resourcesOf(route: RouteTable): ReadonlyMap<GatewayKey, readonly ResourceId[]> {
    const clusters = [...usesOfRoute(route).keys()].map((name) => idOf("Cluster", name));
    const found = new Map<GatewayKey, Set<ResourceId>>();
    for (const { listener } of route.placements) {
      const gateway = gatewayOfListener(listener);
      const ids = found.get(gateway) ?? new Set(clusters);
      for (const id of this.#gateways.get(gateway)?.routesOf(listener) ?? []) ids.add(id);
      found.set(gateway, ids);
    }
    return new Map([...found].map(([gateway, ids]) => [gateway, [...ids]]));
  }

  /** When a resource became what it is: a number that grows with every change. */
  madeAt(resource: Resource): number {
    return this.#madeAt.get(resource) ?? 0;
  }

  /** Of the last change. */
  get now(): number {
    return this.#now;
  }

  resources(gateway: GatewayKey): GatewayResources["resources"] | undefined {
    return this.#gateways.get(gateway)?.resources;
  }

  /** @returns What is different now, by Gateway. */
  apply({ listeners, routes, endpoints }: TableDiff): ReadonlyMap<GatewayKey, Change> {
    this.#now++;
    for (const [id, listener] of listeners) this.#gateway(gatewayOfListener(id)).listener(id, listener);
    for (const [key, route] of routes) this.#route(key, route);
    for (const key of endpoints.keys()) for (const gateway of this.#gateways.values()) gateway.endpoints(key);
    const changes = new Map<GatewayKey, Change>();
    for (const [key, gateway] of this.#gateways) {
      const change = gateway.flush();
      if (change.size > 0) changes.set(key, change);
      for (const resource of change.values()) if (resource !== undefined) this.#madeAt.set(resource, this.#now);
      if (gateway.resources.size === 0) this.#gateways.delete(key);
    }
    return changes;
  }

  #route(key: RouteKey, route: RouteTable | undefined): void {
    const old = this.#routes.get(key);
    if (route === undefined) this.#routes.delete(key);
    else this.#routes.set(key, route);
    const now = gatewaysOf(route);
    const uses = usesOfRoute(route);
    for (const gateway of now) this.#gateway(gateway).route(key, uses);
    for (const gateway of gatewaysOf(old)) if (!now.has(gateway)) this.#gateway(gateway).route(key, NO_CLUSTERS);
    for (const one of [old, route])
      for (const { listener, hostnames } of one?.placements ?? [])
        for (const hostname of hostnames) this.#gateway(gatewayOfListener(listener)).host(listener, hostname);
  }

  #gateway(key: GatewayKey): GatewayResources {
    let gateway = this.#gateways.get(key);
    if (gateway === undefined)
      this.#gateways.set(key, (gateway = new GatewayResources(this.#table, this.#options, this.#caches)));
    return gateway;
  }
}
