import type { IncomingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";
import type { Follows } from "../downstream/downstream.ts";
import type { ReasonWord } from "../../routing/rule.ts";

/** A request as a backend gets it. Headers are names and values by turns. */
export interface BackendCall {
  readonly method: string;
  readonly path: string;
  readonly headers: string[];
  readonly body: AsyncIterable<Buffer> | Buffer | null;
  /** Asked for when the body has ended; sent where the protocol has them. */
  readonly trailers: () => readonly string[];
  /** The protocol to change to, if any. */
  readonly upgrade: string | undefined;
}

export interface AttemptFailure {
  readonly reason: ReasonWord;
  /** Nothing of the request has been sent, or the backend says that it has not looked at it. */
  readonly unsent: boolean;
  /** The connection had served before, so that a reset may be the backend's idle limit and nothing worse. */
  readonly stale: boolean;
}

/** Where an answer goes, as it comes. `data` returns false when the client must catch up first. */
export interface AnswerSink {
  start(status: number, headers: IncomingHttpHeaders, follows: Follows): void;
  data(chunk: Buffer): boolean;
  end(trailers: readonly string[]): void;
  upgraded(headers: IncomingHttpHeaders, socket: Duplex): void;
  failed(failure: AttemptFailure): void;
}

/** One try on one connection. */
export interface Attempt {
  /** Ends a try that has taken too long, or that nobody waits for. */
  abandon(reason: ReasonWord): void;
  /** The client has caught up. */
  resume(): void;
}

/** Connections to one endpoint. */
export interface EndpointPool {
  /** `address:port` */
  readonly authority: string;
  /** Requests in flight. */
  readonly active: number;
  /** @param ended  Called once: the try is over, its connection free or gone. */
  send(call: BackendCall, sink: AnswerSink, connectTimeoutMs: number, ended: () => void): Attempt;
  /** Lets requests in flight end and closes the rest. */
  close(): void;
}

/** What HTTP has: beyond it no client can be relied on to know what it gets. @source RFC 9110 section 15. */
export function isFinalStatus(status: number): boolean {
  return status >= 200 && status <= 599;
}

const CONNECT_CODES = new Set([
  "ECONNREFUSED",
  "UND_ERR_CONNECT_TIMEOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EADDRNOTAVAIL",
  "ENOTFOUND",
]);

export type NetworkError = Error & { readonly code?: string; readonly syscall?: string };

export function isConnectError({ code = "", syscall }: NetworkError): boolean {
  return CONNECT_CODES.has(code) || syscall === "connect";
}
