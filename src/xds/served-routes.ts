import type { Served } from "../routing/programmed.ts";
import type { RouteKey } from "../routing/routing-table.ts";
import type { Proxy } from "./ads/ads-server.ts";
import type { Resource, ResourceId } from "./resources/resource.ts";
import type { GatewayKey } from "./xds-table.ts";

/** What of each Gateway's resources a route is in. */
export type RouteResources = ReadonlyMap<GatewayKey, readonly ResourceId[]>;

interface Parts {
  readonly proxiesOf: (gateway: GatewayKey) => Iterable<Proxy>;
  /** Whether a proxy has said that it serves what a resource was at some time, or what it became since. */
  readonly serves: (proxy: Proxy, id: ResourceId, since: number) => boolean;
  readonly said: (route: RouteKey, byGateway: ReadonlyMap<GatewayKey, Served>) => void;
}

/** One route on one Gateway's proxies. */
interface Share {
  readonly ids: readonly ResourceId[];
  /** Proxies that were there when it was published and have not left; the first that comes where there was none. */
  readonly expected: Set<Proxy>;
  readonly live: Set<Proxy>;
}

interface Waiting {
  readonly since: number;
  readonly shares: ReadonlyMap<GatewayKey, Share>;
}

const isDone = ({ expected, live }: Share): boolean => expected.size > 0 && live.size === expected.size;

const told = ({ expected, live }: Share): Served => ({ live: live.size, total: expected.size });

/**
 * Counts for each route the proxies that have said that they serve it. A route is forgotten once all have: who comes
 * later takes nothing back. What a proxy says costs as much as there are routes that wait for just that.
 */
export class ServedRoutes {
  readonly #parts: Parts;
  readonly #waiting = new Map<RouteKey, Waiting>();
  readonly #byResource = new Map<ResourceId, Set<RouteKey>>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * A route is in these resources from now on.
   *
   * @param since  The time of the change, in whatever {@link Parts.serves} counts.
   */
  published(route: RouteKey, resources: RouteResources, since: number): void {
    this.forget(route);
    const shares = new Map(
      [...resources].map(([gateway, ids]): [GatewayKey, Share] => {
        const expected = new Set(this.#parts.proxiesOf(gateway));
        const live = new Set([...expected].filter((proxy) => this.#servesAll(proxy, ids, since)));
        return [gateway, { ids, expected, live }];
      }),
    );
    const waiting: Waiting = { since, shares };
    this.#tell(route, waiting);
    if ([...shares.values()].every(isDone)) return;
    this.#waiting.set(route, waiting);
    for (const { ids } of shares.values()) for (const id of ids) this.#index(id, route);
  }

  forget(route: RouteKey): void {
    const waiting = this.#waiting.get(route);
    this.#waiting.delete(route);
    for (const { ids } of waiting?.shares.values() ?? [])
      for (const id of ids) {
        const routes = this.#byResource.get(id);
        routes?.delete(route);
        if (routes?.size === 0) this.#byResource.delete(id);
      }
  }

  /** A proxy has taken these. */
  taken(proxy: Proxy, resources: readonly Resource[]): void {
    this.#each(proxy, this.#waitingFor(resources), (share, since) => {
      if (!share.expected.has(proxy) || !this.#servesAll(proxy, share.ids, since)) return false;
      share.live.add(proxy);
      return true;
    });
  }

  /** A Gateway's proxies refuse the route. */
  refused(route: RouteKey, gateway: GatewayKey, why: string): void {
    const waiting = this.#waiting.get(route);
    const known = waiting?.shares.get(gateway);
    const total = known?.expected.size ?? [...this.#parts.proxiesOf(gateway)].length;
    const others = [...(waiting?.shares ?? [])].map(([key, share]): [GatewayKey, Served] => [key, told(share)]);
    this.forget(route);
    this.#parts.said(route, new Map([...others, [gateway, { live: 0, total, rejected: why }]]));
  }

  joined(proxy: Proxy): void {
    this.#each(proxy, [...this.#waiting.keys()], (share) => {
      if (share.expected.size > 0) return false;
      share.expected.add(proxy);
      return true;
    });
  }

  left(proxy: Proxy): void {
    this.#each(proxy, [...this.#waiting.keys()], (share) => {
      share.live.delete(proxy);
      return share.expected.delete(proxy);
    });
  }

  #servesAll(proxy: Proxy, ids: readonly ResourceId[], since: number): boolean {
    return ids.every((id) => this.#parts.serves(proxy, id, since));
  }

  #waitingFor(resources: readonly Resource[]): Iterable<RouteKey> {
    return new Set(resources.flatMap(({ id }) => [...(this.#byResource.get(id) ?? [])]));
  }

  /** @param change  Says whether there is anything new to tell. */
  #each({ gateway }: Proxy, routes: Iterable<RouteKey>, change: (share: Share, since: number) => boolean): void {
    for (const route of routes) {
      const waiting = this.#waiting.get(route);
      const share = waiting?.shares.get(gateway);
      if (waiting === undefined || share === undefined || !change(share, waiting.since)) continue;
      this.#tell(route, waiting);
      if ([...waiting.shares.values()].every(isDone)) this.forget(route);
    }
  }

  #tell(route: RouteKey, { shares }: Waiting): void {
    this.#parts.said(route, new Map([...shares].map(([gateway, share]) => [gateway, told(share)])));
  }

  #index(id: ResourceId, route: RouteKey): void {
    const routes = this.#byResource.get(id);
    if (routes === undefined) this.#byResource.set(id, new Set([route]));
    else routes.add(route);
  }
}
