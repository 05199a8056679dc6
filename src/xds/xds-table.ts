import type { Key } from "../api/keys.ts";
import { gatewayOfListener } from "../routing/listener.ts";
import {
  type RouteKey,
  type RouteTable,
  RoutingTable,
  type RoutingTableView,
  type TableDiff,
  emptyDiff,
} from "../routing/routing-table.ts";
import { receiversOf } from "../routing/rule.ts";
import type { Change } from "./gateway/changes.ts";
import { type Caches, GatewayResources } from "./gateway/gateway-resources.ts";
import { SCOPED_FROM } from "./gateway/table-book.ts";
import type { ProxyOptions } from "./options.ts";
import { ClusterCache, type ClusterUse, usesOfRoute } from "./resources/cluster-uses.ts";
import { RouteCache } from "./resources/host-cell.ts";
import { type Resource, type ResourceId, idOf } from "./resources/resource.ts";

export type GatewayKey = Key<"Gateway">;
export type Changes = ReadonlyMap<GatewayKey, Change>;

const NO_CLUSTERS: ReadonlyMap<string, ClusterUse> = new Map();

const gatewaysOf = (route: RouteTable | undefined): ReadonlySet<GatewayKey> =>
  new Set(route?.placements.map(({ listener }) => gatewayOfListener(listener)));

/**
 * The routing table as resources of Envoy's, for each Gateway its own. The cost of a change goes with the change. A route
 * that proxies refuse stands in it as they took it last, or not at all, until it is another.
 */
export class XdsTable {
  readonly #options: ProxyOptions;
  readonly #scopedFrom: number;
  readonly #caches: Caches = { clusters: new ClusterCache(), routes: new RouteCache() };
  /** What proxies are to serve: as the routing table, but for routes that they refuse. */
  readonly #table = new RoutingTable();
  readonly #gateways = new Map<GatewayKey, GatewayResources>();
  /** Of routes: what some proxy has taken last. */
  readonly #good = new Map<RouteKey, RouteTable>();
  readonly #madeAt = new WeakMap<Resource, number>();
  #now = 0;

  /** @param scopedFrom  Tables of so many hostnames are cut up. */
  constructor(options: ProxyOptions, scopedFrom = SCOPED_FROM) {
    this.#options = options;
    this.#scopedFrom = scopedFrom;
  }

  get table(): RoutingTableView {
    return this.#table;
  }

  /** Of the last change. */
  get now(): number {
    return this.#now;
  }

  /** When a resource became what it is: a number that grows with every change. */
  madeAt(resource: Resource): number {
    return this.#madeAt.get(resource) ?? 0;
  }

  resources(gateway: GatewayKey): GatewayResources["resources"] | undefined {
    return this.#gateways.get(gateway)?.resources;
  }

  /** What of each Gateway's resources a route is in, after {@link apply}. */
  resourcesOf(route: RouteTable): ReadonlyMap<GatewayKey, readonly ResourceId[]> {
    const clusters = [...usesOfRoute(route).keys()].map((name) => idOf("Cluster", name));
    const found = new Map<GatewayKey, Set<ResourceId>>();
    for (const { listener, hostnames } of route.placements) {
      const gateway = gatewayOfListener(listener);
      const ids = found.get(gateway) ?? new Set(clusters);
      for (const id of this.#gateways.get(gateway)?.routesOf(listener, hostnames) ?? []) ids.add(id);
      found.set(gateway, ids);
    }
    return new Map([...found].map(([gateway, ids]) => [gateway, [...ids]]));
  }

  /** Some proxy serves these as they are. */
  taken({ routes }: Resource): void {
    for (const [key, route] of routes ?? []) if (this.#table.routes.get(key) === route) this.#good.set(key, route);
  }

  /** Whether some proxy serves this version of a route. */
  isGood(key: RouteKey, route: RouteTable): boolean {
    return this.#good.get(key) === route;
  }

  /** Takes routes back to what proxies took last; one that may no longer use all that it names goes altogether. */
  recall(keys: Iterable<RouteKey>): Changes {
    const before = (key: RouteKey): RouteTable | undefined =>
      hasInvalid(this.#table.routes.get(key)) ? undefined : this.#good.get(key);
    return this.apply({ ...emptyDiff(), routes: new Map([...keys].map((key) => [key, before(key)])) });
  }

  /** What a Gateway would have if these were its only routes, each table in one. */
  alone(gateway: GatewayKey, keys: readonly RouteKey[]): GatewayResources["resources"] {
    const table = new RoutingTable();
    const listeners = [...this.#table.listeners].filter(([, one]) => one.gateway === gateway);
    const routes = new Map(keys.map((key) => [key, this.#table.routes.get(key)]));
    table.apply({ ...emptyDiff(), listeners: new Map(listeners), routes });
    const { endpoints } = this.#table;
    const view = {
      listeners: table.listeners,
      routes: table.routes,
      endpoints,
      virtualHost: table.virtualHost.bind(table),
    };
    const resources = new GatewayResources(view, this.#options, this.#caches, Infinity);
    for (const [id, listener] of listeners) resources.listener(id, listener);
    for (const route of table.routes.values()) touchHosts(route, gateway, resources);
    resources.flush();
    return resources.resources;
  }

  /** @returns What is different now, by Gateway. */
  apply(diff: TableDiff): Changes {
    this.#now++;
    const old = new Map([...diff.routes.keys()].map((key) => [key, this.#table.routes.get(key)]));
    this.#table.apply(diff);
    for (const [id, listener] of diff.listeners) this.#gateway(gatewayOfListener(id)).listener(id, listener);
    for (const [key, route] of diff.routes) this.#route(key, old.get(key), route);
    for (const key of diff.endpoints.keys()) for (const gateway of this.#gateways.values()) gateway.endpoints(key);
    return this.#flush();
  }

  /** Whether, since the last look, connections may go by a layout that is no longer the current one. */
  takeSwitched(): boolean {
    return [...this.#gateways.values()].filter((gateway) => gateway.takeSwitched()).length > 0;
  }

  /** Former layouts go. */
  retire(): Changes {
    return new Map([...this.#gateways].map(([key, gateway]) => [key, gateway.retire()]));
  }

  #flush(): Changes {
    const changes = new Map<GatewayKey, Change>();
    for (const [key, gateway] of this.#gateways) {
      const change = gateway.flush();
      if (change.size > 0) changes.set(key, change);
      for (const resource of change.values()) if (resource !== undefined) this.#madeAt.set(resource, this.#now);
      if (gateway.resources.size === 0) this.#gateways.delete(key);
    }
    return changes;
  }

  #route(key: RouteKey, old: RouteTable | undefined, route: RouteTable | undefined): void {
    const now = gatewaysOf(route);
    const uses = usesOfRoute(route);
    for (const gateway of now) this.#gateway(gateway).route(key, uses);
    for (const gateway of gatewaysOf(old)) if (!now.has(gateway)) this.#gateway(gateway).route(key, NO_CLUSTERS);
    for (const one of [old, route])
      for (const gateway of gatewaysOf(one)) if (one !== undefined) touchHosts(one, gateway, this.#gateway(gateway));
    if (route === undefined) this.#good.delete(key);
  }

  #gateway(key: GatewayKey): GatewayResources {
    let gateway = this.#gateways.get(key);
    if (gateway === undefined)
      this.#gateways.set(
        key,
        (gateway = new GatewayResources(this.#table, this.#options, this.#caches, this.#scopedFrom)),
      );
    return gateway;
  }
}

/** A reference that is not permitted, or leads nowhere: its older version may have been permitted once. */
function hasInvalid(route: RouteTable | undefined): boolean {
  const rules = new Set(route?.entries.map(({ rule }) => rule));
  return [...rules].some(
    ({ action }) => action.kind === "forward" && receiversOf(action).some(({ target }) => target.kind === "invalid"),
  );
}

function touchHosts({ placements }: RouteTable, gateway: GatewayKey, resources: GatewayResources): void {
  for (const { listener, hostnames } of placements)
    if (gatewayOfListener(listener) === gateway) for (const hostname of hostnames) resources.host(listener, hostname);
}
