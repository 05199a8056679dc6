/** How far a route's generation has come: a count of the replicas or proxies that serve it. */
export interface Liveness {
  readonly generation: number;
  readonly live: number;
  readonly total: number;
}

/** What a data plane says of one listener. */
export type ListenerState =
  | { readonly kind: "serving" }
  | { readonly kind: "failed"; readonly reason: "PortUnavailable"; readonly message: string };
