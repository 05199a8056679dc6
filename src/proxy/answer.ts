import type { ServerResponse } from "node:http";
import type { ReasonWord } from "../routing/rule.ts";

export const REASON_HEADER = "x-serviceroute-reason";

/** The one table of failure → status. Each word is also a metric label and a log field. */
export const STATUS_OF: Readonly<Record<ReasonWord, number>> = {
  NoRoute: 404,
  InvalidRule: 500,
  PatternLimit: 500,
  InvalidBackend: 500,
  NoBackends: 500,
  NoEndpoints: 503,
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

/** Sends a failure, or cuts the connection when an answer has begun: a short answer must never look whole. */
export function sendFailure(
  response: ServerResponse,
  failure: Failure,
  showReason: boolean,
  decorate: Decorate = plain,
): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const status = statusOf(failure);
  const body = `${failure.reason}\n`;
  const headers = decorate({ "content-type": "text/plain; charset=utf-8", "content-length": String(body.length) });
  if (showReason) headers.push(REASON_HEADER, failure.reason);
  if (ENDS_CONNECTION.has(failure.reason)) headers.push("connection", "close");
  response.writeHead(status, headers);
  response.end(body);
}
