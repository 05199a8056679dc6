import type { ListenerId } from "./listener.ts";

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

/** Stands for all listeners of a replica that has too many to tell of. */
export const EVERY_LISTENER = "*" as ListenerId;

/** What a replica says of itself: everything of that kind up to a resourceVersion is in its table, and what of it does not serve. */
export interface ReplicaReport {
  readonly replica: string;
  readonly servedThrough: bigint;
  readonly gatewaysThrough: bigint;
  /** Why a listener of its table does not serve; empty: not yet. */
  readonly notServing: ReadonlyMap<ListenerId, string>;
}
