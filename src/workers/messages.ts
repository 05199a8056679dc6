import type { ClusterNews } from "../routing/cluster-news.ts";
import type { ListenerId } from "../routing/listener.ts";
import type { ListenerState } from "../routing/programmed.ts";
import type { RequestSeries } from "../telemetry/merged-requests.ts";

/** From the process that makes the table to one that serves it. */
export type ToWorker =
  /** A part of a change; the last part has the version that the table has with it, and all parts are applied then. */
  | { readonly kind: "table"; readonly bytes: Uint8Array; readonly version: number | undefined }
  /** The answer to a claim. `problem` is the system's code, such as EADDRINUSE; absent: bind it. */
  | { readonly kind: "claimed"; readonly socket: string; readonly problem: string | undefined }
  /** How many connections of clients the worker may have. */
  | { readonly kind: "allowance"; readonly most: number; readonly turn: number }
  | { readonly kind: "askMetrics"; readonly id: number }
  | { readonly kind: "news"; readonly from: number; readonly news: ClusterNews }
  /** Another worker has gone. */
  | { readonly kind: "gone"; readonly worker: number }
  | { readonly kind: "drain"; readonly limitMs: number };

/** From a worker. Whatever it says of listeners comes before it says that it serves the version they are of. */
export type FromWorker =
  | { readonly kind: "started" }
  | { readonly kind: "served"; readonly version: number }
  | {
      readonly kind: "listener";
      readonly version: number;
      readonly id: ListenerId;
      readonly state: ListenerState | undefined;
    }
  /** Asks whether it may bind `address:port`, which the other workers bind as well. */
  | { readonly kind: "claim"; readonly socket: string }
  /** It does not bind it any more. */
  | { readonly kind: "release"; readonly socket: string }
  /** A sign of life, with the connections that are open, and the allowance that is followed. */
  | { readonly kind: "beat"; readonly connections: number; readonly most: number; readonly turn: number }
  /** For the other workers. */
  | { readonly kind: "news"; readonly news: ClusterNews }
  | { readonly kind: "metrics"; readonly id: number; readonly series: RequestSeries };

/** A worker, as the process that started it sees it. */
export interface WorkerProcess {
  send(message: ToWorker): void;
  /** At once, whatever it is doing. */
  kill(): void;
}

/** What a worker tells. */
export interface WorkerEvents {
  said(message: FromWorker): void;
  /** @param why  Its exit code or signal. */
  ended(why: string): void;
}
