import type { ReasonWord } from "../routing/rule.ts";
import type { Downstream } from "./downstream/downstream.ts";
import { grpcStatusOf } from "./grpc-status.ts";

export const REASON_HEADER = "x-serviceroute-reason";

/** The one table of failure → status. Each word is also a metric label and a log field. */
export const STATUS_OF: Readonly<Record<ReasonWord, number>> = {
  NoRoute: 404,
  InvalidRule: 500,
  PatternLimit: 500,
  InvalidBackend: 500,
  NoBackends: 500,
  NoEndpoints: 503,
  NoHealthyEndpoints: 503,
  CircuitOpen: 503,
  Overloaded: 503,
  LoopDetected: 508,
  ConnectFailure: 503,
  Reset: 503,
  BadResponse: 502,
  RequestTimeout: 504,
  BackendTimeout: 504,
  IdleTimeout: 504,
  BodyTooLarge: 413,
  BadRequest: 400,
  MisdirectedRequest: 421,
  NotImplemented: 501,
  InternalError: 500,
};

/** After these nobody knows, or wants to know, where the next request begins. */
const ENDS_CONNECTION: ReadonlySet<ReasonWord> = new Set(["BadRequest", "NotImplemented", "BodyTooLarge"]);

/** An answer of the gateway itself. `status` is only given where the word allows several. */
export interface Failure {
  readonly reason: ReasonWord;
  readonly status?: number;
}

export function statusOf({ reason, status }: Failure): number {
  return status ?? STATUS_OF[reason];
}

/** Headers of an answer that the gateway makes, as names and values by turns, with what a rule adds to them. */
export type Decorate = (own: Readonly<Record<string, string>>) => string[];
const plain: Decorate = (own) => Object.entries(own).flat();

export interface FailureStyle {
  /** Whether the reason is named in a header. */
  readonly showReason: boolean;
  /** gRPC clients read a status of their own, under HTTP 200 (D45). */
  readonly grpc: boolean;
  readonly decorate?: Decorate;
}

/** Sends a failure, or cuts the answer off when it has begun: a short answer must never look whole. */
export function sendFailure(downstream: Downstream, failure: Failure, style: FailureStyle): void {
  if (downstream.status !== 0) return downstream.cut();
  const { showReason, grpc, decorate = plain } = style;
  const { reason } = failure;
  const status = statusOf(failure);
  const body = grpc ? "" : `${reason}\n`;
  const own = grpc
    ? { "content-type": "application/grpc", "grpc-status": String(grpcStatusOf(status)), "grpc-message": reason }
    : { "content-type": "text/plain; charset=utf-8", "content-length": String(body.length) };
  const headers = decorate(own);
  if (showReason) headers.push(REASON_HEADER, reason);
  if (reason === "Overloaded") headers.push("retry-after", "1");
  if (ENDS_CONNECTION.has(reason)) downstream.takeNoMore();
  downstream.answer(grpc ? 200 : status, headers, body);
}
