import type { EndpointsKey } from "./endpoints.ts";

/** A backend with its policies, as every process that serves the same table knows it; see `ClusterRef`. */
export interface ClusterName {
  readonly endpoints: EndpointsKey;
  readonly state: string;
}

/** What processes that serve one table together tell each other of a backend. Endpoints are `address:port`. */
export type ClusterNews = { readonly cluster: ClusterName } & (
  | /** A request has failed at an endpoint, or has gone well where others had failed. */ {
      readonly kind: "outcome";
      readonly endpoint: string;
      readonly isFailure: boolean;
    }
  | /** What counts for its circuit breaker in the process that says so; told again and again while it is not nothing. */ {
      readonly kind: "load";
      readonly load: Load;
    }
  | /** The process begins to use it, and knows nothing of it. */ { readonly kind: "wanted" }
  | /** What is held against an endpoint. */ {
      readonly kind: "health";
      readonly endpoint: string;
      readonly health: EndpointHealth;
    }
);

export interface Load {
  /** Requests on their way. */
  readonly running: number;
  /** Requests in line. */
  readonly waiting: number;
}

export interface EndpointHealth {
  /** What the last checks said. */
  readonly isWell: boolean;
  /** In a row. */
  readonly failures: number;
  /** Milliseconds for which it is still ejected. */
  readonly ejectedForMs: number;
  /** How many times as long as a first ejection the last one was. */
  readonly factor: number;
}
