import type { ClusterRef } from "./rule.ts";

/** What processes that serve one table together tell each other of a backend. */
export type ClusterNews =
  /** A request has failed at an endpoint (`address:port`), or has gone well where others had failed. */
  | { readonly kind: "outcome"; readonly cluster: ClusterRef; readonly endpoint: string; readonly isFailure: boolean }
  /** What counts for its circuit breaker in the process that says so. */
  | { readonly kind: "load"; readonly cluster: ClusterRef; readonly load: Load };

export interface Load {
  /** Requests on their way. */
  readonly running: number;
  /** Requests in line. */
  readonly waiting: number;
}
