import type { Key } from "../api/keys.ts";
import { type RouteKey, type TableDiff, emptyDiff } from "../routing/routing-table.ts";
import type { DesiredGatewayStatus, DesiredRouteStatus } from "../routing/status-report.ts";
import type { RouteTranslation } from "./translate-route.ts";

/** Everything that one change led to. */
export interface Output {
  readonly diff: TableDiff;
  readonly routeStatuses: ReadonlyMap<RouteKey, DesiredRouteStatus | undefined>;
  readonly gatewayStatuses: ReadonlyMap<Key<"Gateway">, DesiredGatewayStatus | undefined>;
  /** Routes whose content in the table changed, with what they are now. */
  readonly translations: ReadonlyMap<RouteKey, RouteTranslation | undefined>;
  /** Routes that went, even if one of the same name has come since. */
  readonly removed: ReadonlySet<RouteKey>;
  /** Defects of ours: a translation that threw. The route's last good table stays. */
  readonly failures: readonly { readonly key: Key; readonly error: unknown }[];
}

export type Pending = {
  diff: ReturnType<typeof emptyDiff>;
  routeStatuses: Map<RouteKey, DesiredRouteStatus | undefined>;
  gatewayStatuses: Map<Key<"Gateway">, DesiredGatewayStatus | undefined>;
  translations: Map<RouteKey, RouteTranslation | undefined>;
  removed: Set<RouteKey>;
  failures: { key: Key; error: unknown }[];
};

export const nothingPending = (): Pending => ({
  diff: emptyDiff(),
  routeStatuses: new Map(),
  gatewayStatuses: new Map(),
  translations: new Map(),
  removed: new Set(),
  failures: [],
});
