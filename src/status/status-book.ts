import type { Key } from "../api/keys.ts";
import type { ServiceRouteStatus } from "../api/service-route.ts";
import type { RouteKey } from "../routing/routing-table.ts";
import type { DesiredGatewayStatus } from "../routing/status-report.ts";
import type { DesiredRouteStatus } from "../routing/status-report.ts";
import { type GatewayStatus, mergeGatewayStatus, mergeRouteStatus } from "./merge.ts";

/** Statuses with their transition times, where no API server keeps them: for the admin endpoint. */
export class StatusBook {
  readonly routes = new Map<RouteKey, ServiceRouteStatus>();
  readonly gateways = new Map<Key<"Gateway">, GatewayStatus>();
  readonly #now: () => string;

  /** @param now  RFC 3339. */
  constructor(now: () => string) {
    this.#now = now;
  }

  route(key: RouteKey, desired: DesiredRouteStatus | undefined): void {
    if (desired === undefined) this.routes.delete(key);
    else this.routes.set(key, mergeRouteStatus(this.routes.get(key), desired, this.#now()));
  }

  gateway(key: Key<"Gateway">, desired: DesiredGatewayStatus | undefined): void {
    if (desired === undefined) this.gateways.delete(key);
    else this.gateways.set(key, mergeGatewayStatus(this.gateways.get(key), desired, this.#now()));
  }
}
