/** How far a route's generation has come: a count of the replicas or proxies that serve it. */
export interface Liveness {
  readonly generation: number;
  readonly live: number;
  readonly total: number;
}

/** What a data plane says of one listener. */
export type ListenerState =
  | { readonly kind: "serving" }
  | {
      readonly kind: "failed";
      readonly reason: "PortUnavailable";
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
