import { REASON_HEADER, STATUS_OF } from "../routing/reasons.ts";
import type { ReasonWord } from "../routing/rule.ts";
import type { Downstream } from "./downstream/downstream.ts";
import { grpcStatusOf } from "./grpc-status.ts";

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
