import type { Key } from "../api/keys.ts";
import type { ServiceRouteStatus } from "../api/service-route.ts";
import type { RouteKey } from "../routing/routing-table.ts";
import type { DesiredGatewayStatus, DesiredRouteStatus } from "../routing/status-report.ts";
import { type GatewayStatus, mergeGatewayStatus, mergeRouteStatus } from "./merge.ts";

/** Where the newest desired statuses are. */
export interface DesiredStatuses {
  routeStatus(key: RouteKey): DesiredRouteStatus | undefined;
  readonly gatewayStatuses: ReadonlyMap<Key<"Gateway">, DesiredGatewayStatus>;
}

/** Statuses with their transition times, where no API server keeps them. */
export class StatusBook {
  readonly #routes = new Map<Key, ServiceRouteStatus>();
  readonly #gateways = new Map<Key, GatewayStatus>();
  readonly #desired: () => DesiredStatuses;
  readonly #now: () => string;

  /** @param now  RFC 3339. */
  constructor(desired: () => DesiredStatuses, now: () => string) {
    this.#desired = desired;
    this.#now = now;
  }

  routesChanged(keys: Iterable<RouteKey>): void {
    for (const key of keys) {
      const desired = this.#desired().routeStatus(key);
      if (desired === undefined) this.#routes.delete(key);
      else this.#routes.set(key, mergeRouteStatus(this.#routes.get(key), desired, this.#now()));
    }
  }

  gatewaysChanged(keys: Iterable<Key<"Gateway">>): void {
    for (const key of keys) {
      const desired = this.#desired().gatewayStatuses.get(key);
      if (desired === undefined) this.#gateways.delete(key);
      else this.#gateways.set(key, mergeGatewayStatus(this.#gateways.get(key), desired, this.#now()));
    }
  }

  get(key: Key): unknown {
    return this.#routes.get(key) ?? this.#gateways.get(key);
  }
}
