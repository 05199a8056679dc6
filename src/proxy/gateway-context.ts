import type { RoutingTableView } from "../routing/routing-table.ts";
import type { ReasonWord } from "../routing/rule.ts";
import type { OwnEnds } from "./own-ends.ts";
import type { OpenLimit } from "./open-limit.ts";
import type { Overload } from "./overload.ts";
import type { RequestRecord, Tracer } from "./request-record.ts";
import type { Attempt } from "./upstream/attempt.ts";
import { NOBODY, type TrustedProxies } from "./downstream/client-origin.ts";
import type { RequestPolicy } from "./downstream/request-policy.ts";
import type { HealthChange } from "./upstream/cluster.ts";
import type { Clusters } from "./upstream/clusters.ts";

export interface GatewayOptions extends RequestPolicy {
  /** Whether answers of the gateway name their reason in a header. */
  readonly showReason: boolean;
  /** Whether answers name the route and rule that they come by. */
  readonly showRoute: boolean;
  readonly trustedProxies: TrustedProxies;
  /** Whether clients may speak HTTP/2. */
  readonly http2: boolean;
  /** Of clients, at a time, and as many clients of each UDP listener; 0 is no limit. */
  readonly maxConnections: number;
  /** From which on requests are turned away; 0 is never. */
  readonly maxEventLoopDelayMs: number;
}

export const DEFAULT_OPTIONS: GatewayOptions = Object.freeze({
  showReason: false,
  showRoute: false,
  underscores: "reject",
  trustedProxies: NOBODY,
  http2: true,
  maxConnections: 10_000,
  maxEventLoopDelayMs: 500,
});

/** What the gateway tells of its work. Called on the request path, so it must be cheap. */
export interface GatewayObserver {
  failure(reason: ReasonWord): void;
  retry(): void;
  /** An endpoint was ejected, or a check found it unwell, or well again. */
  endpointHealth(change: HealthChange): void;
  /** A defect of ours in the decision of one request, which is answered 500. */
  defect(error: unknown): void;
  /** An answer has gone out whole or its connection is gone. */
  answered(record: RequestRecord): void;
  /** A connection of a TCP or TLS listener was joined to a backend, or refused for this reason. */
  connection(outcome: ReasonWord | "Proxied"): void;
  /** A client of a UDP listener was given an endpoint, or its datagram dropped for this reason. */
  session(outcome: ReasonWord | "Proxied"): void;
  /** A client's connection was closed because there are too many. */
  connectionRejected(): void;
}

/** What every request needs and none owns. */
export interface GatewayContext {
  readonly table: RoutingTableView;
  readonly clusters: Clusters;
  readonly options: GatewayOptions;
  readonly overload: Overload;
  /** Requests with a body: what is kept of one does not depend on how many share its connection. */
  readonly bodies: OpenLimit;
  readonly observe: GatewayObserver;
  readonly tracer: Tracer | undefined;
  /** Unguessable, and different for each process. */
  readonly identity: string;
  /** Our ends of connections and datagrams to backends of TCP and UDP listeners: a client that is one of them is a loop. */
  readonly ownEnds: OwnEnds;
  /** Copies on their way, which nobody waits for. */
  readonly mirrors: Set<Attempt>;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}
