import type { RoutingTableView } from "../routing/routing-table.ts";
import type { EndpointSet, EndpointsKey } from "../routing/endpoints.ts";

/** How proxies take and answer requests, as far as it is the operator's. */
export interface ProxyOptions {
  /** Whether answers of a proxy's own name their reason in a header. */
  readonly showReason: boolean;
  /** Whether answers name the route and rule that took the request. */
  readonly showRoute: boolean;
  readonly underscores: "reject" | "drop" | "allow";
  readonly trustedHops: number;
  readonly http2: boolean;
}

export type EndpointLookup = (key: EndpointsKey) => EndpointSet | undefined;

/** What resources are made from. */
export type TableView = Pick<RoutingTableView, "listeners" | "routes" | "endpoints" | "virtualHost">;
