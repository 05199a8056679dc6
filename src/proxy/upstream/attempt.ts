import type { IncomingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";
import { type Dispatcher, errors } from "undici";
import type { ReasonWord } from "../../routing/rule.ts";
import type { Lease } from "./endpoint-pool.ts";
import { BodyTooLarge } from "../request-body.ts";

export interface BackendCall {
  readonly method: string;
  readonly path: string;
  readonly headers: string[];
  readonly body: AsyncIterable<Buffer> | Buffer | null;
  readonly upgrade: string | undefined;
}

export interface AttemptFailure {
  readonly reason: ReasonWord;
  /** Nothing of the request has been sent. */
  readonly unsent: boolean;
}

/** Where an answer goes, as it comes. `data` returns false when the client must catch up first. */
export interface AnswerSink {
  start(status: number, headers: IncomingHttpHeaders): void;
  data(chunk: Buffer): boolean;
  end(): void;
  upgraded(headers: IncomingHttpHeaders, socket: Duplex): void;
  failed(failure: AttemptFailure): void;
}

const CONNECT_CODES = new Set([
  "ECONNREFUSED",
  "UND_ERR_CONNECT_TIMEOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EADDRNOTAVAIL",
  "ENOTFOUND",
]);

function classify(error: Error & { code?: string; syscall?: string }, sent: boolean): AttemptFailure {
  const code = error.code ?? "";
  if (error instanceof BodyTooLarge) return { reason: "BodyTooLarge", unsent: false };
  if (!sent || CONNECT_CODES.has(code) || error.syscall === "connect")
    return { reason: "ConnectFailure", unsent: true };
  const malformed =
    // What undici says of a 100 or 101 that nobody asked for, or that lacks its headers.
    code === "ERR_ASSERTION" ||
    (error instanceof errors.SocketError && /^bad (response|upgrade)$/.test(error.message)) ||
    error instanceof errors.HTTPParserError ||
    code.startsWith("HPE_") ||
    code === "UND_ERR_HEADERS_OVERFLOW" ||
    code === "UND_ERR_RES_CONTENT_LENGTH_MISMATCH";
  return { reason: malformed ? "BadResponse" : "Reset", unsent: false };
}

/** Raised into a try that has taken too long or that nobody waits for. */
export class Abandoned extends Error {
  override readonly name = "Abandoned";
  readonly reason: ReasonWord;
  constructor(reason: ReasonWord) {
    super(reason);
    this.reason = reason;
  }
}

/** One try on one connection. */
export class Attempt implements Dispatcher.DispatchHandler {
  readonly #sink: AnswerSink;
  readonly #done: (reusable: boolean) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #abandoned: Abandoned | undefined;
  #sent = false;
  #finished = false;

  /** @param done  Called once: the connection is free again, or of no more use. */
  constructor(sink: AnswerSink, done: (reusable: boolean) => void) {
    this.#sink = sink;
    this.#done = done;
  }

  send({ client }: Lease, call: BackendCall): void {
    const { upgrade, ...rest } = call;
    try {
      client.dispatch({ ...rest, ...(upgrade === undefined ? {} : { upgrade }) } as Dispatcher.DispatchOptions, this);
    } catch (error) {
      this.onResponseError(undefined, error instanceof Error ? error : new Error(String(error)));
    }
  }

  abandon(reason: ReasonWord): void {
    if (this.#finished) return;
    this.#abandoned = new Abandoned(reason);
    if (this.#controller === undefined) this.onResponseError(undefined, this.#abandoned);
    else this.#controller.abort(this.#abandoned);
  }

  resume(): void {
    this.#controller?.resume();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    this.#sent = true;
    if (this.#abandoned !== undefined) controller.abort(this.#abandoned);
  }

  onRequestUpgrade(
    _controller: Dispatcher.DispatchController,
    _status: number,
    headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void {
    if (this.#finished) {
      socket.destroy();
      return;
    }
    this.#finished = true;
    // Until the tunnel ends its connection is one that the backend is busy with.
    socket.once("close", () => this.#done(false));
    this.#sink.upgraded(headers, socket);
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 100) return this.abandon("BadResponse");
    if (status >= 200 && !this.#finished) this.#sink.start(status, headers);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#finished && !this.#sink.data(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    if (this.#finish(true)) this.#sink.end();
  }

  onResponseError(_controller: unknown, error: Error): void {
    const cause = this.#abandoned ?? error;
    if (!this.#finish(false)) return;
    this.#sink.failed(
      cause instanceof Abandoned ? { reason: cause.reason, unsent: false } : classify(cause, this.#sent),
    );
  }

  #finish(reusable: boolean): boolean {
    if (this.#finished) return false;
    this.#finished = true;
    this.#done(reusable);
    return true;
  }
}
