import type { Key } from "../api/keys.ts";

/** How many of those that are to serve a route do. */
export interface Served {
  readonly live: number;
  readonly total: number;
  /** Why some proxy does not take it. */
  readonly rejected?: string;
}

/** How far a route's generation has come: a count of the replicas that serve it, or of each Gateway's proxies. */
export interface Liveness extends Served {
  readonly generation: number;
  /** Absent where every replica serves every Gateway. */
  readonly byGateway?: ReadonlyMap<Key<"Gateway">, Served>;
}

/** Of several Gateways together. */
export function servedBy(all: Iterable<Served>): Served {
  let [live, total] = [0, 0];
  let rejected: string | undefined;
  for (const one of all) {
    live += one.live;
    total += one.total;
    rejected ??= one.rejected;
  }
  return { live, total, ...(rejected === undefined ? {} : { rejected }) };
}

/** What a data plane says of one listener. */
export type ListenerState =
  | { readonly kind: "serving" }
  | {
      readonly kind: "failed";
      readonly reason: "PortUnavailable" | "RejectedByProxy" | "UnsupportedProtocol";
      readonly message: string;
      /** Whether some replica serves it all the same, so that its addresses still answer. */
      readonly isServedElsewhere?: boolean;
    };

/** What a replica says of its listeners. */
export interface ListenerReport {
  /** Digests of those that it serves. */
  readonly serving: ReadonlySet<string>;
  /** Why others do not, by digest: a port that cannot be bound. Those that are only not bound yet are in neither. */
  readonly failed: ReadonlyMap<string, string>;
}

/** What a replica says of itself: every ServiceRoute up to a resourceVersion is in its table, and which listeners it serves. */
export interface ReplicaReport {
  readonly replica: string;
  readonly servedThrough: bigint;
  readonly listeners: ListenerReport;
}
