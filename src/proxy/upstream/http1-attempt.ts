import type { IncomingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";
import { type Client, type Dispatcher, errors } from "undici";
import type { ReasonWord } from "../../routing/rule.ts";
import { BodyTooLarge } from "../request-body.ts";
import {
  type AnswerSink,
  type Attempt,
  type BackendCall,
  type NetworkError,
  isConnectError,
  isFinalStatus,
} from "./attempt.ts";

type Cause = { readonly reason: ReasonWord; readonly unsent: boolean };

function classify(error: NetworkError, sent: boolean): Cause {
  const { code = "" } = error;
  if (error instanceof BodyTooLarge) return { reason: "BodyTooLarge", unsent: false };
  if (!sent || isConnectError(error)) return { reason: "ConnectFailure", unsent: true };
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

/** Names of protocols and codings, of which a backend may have said several. */
const isSame = (one: unknown, other: unknown): boolean => String(one).toLowerCase() === String(other).toLowerCase();

class Abandoned extends Error {
  override readonly name = "Abandoned";
  readonly reason: ReasonWord;
  constructor(reason: ReasonWord) {
    super(reason);
    this.reason = reason;
  }
}

/** One try on an HTTP/1.1 connection, which it has for itself. */
export class Http1Attempt implements Attempt, Dispatcher.DispatchHandler {
  readonly #sink: AnswerSink;
  readonly #reused: boolean;
  readonly #done: (reusable: boolean) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #abandoned: Abandoned | undefined;
  #upgrade: string | undefined;
  #sent = false;
  #finished = false;

  /**
   * @param reused  The connection has served before.
   * @param done    Called once: the connection is free again, or of no more use.
   */
  constructor(sink: AnswerSink, reused: boolean, done: (reusable: boolean) => void) {
    this.#sink = sink;
    this.#reused = reused;
    this.#done = done;
  }

  send(client: Client, { method, path, headers, body, upgrade }: BackendCall): void {
    this.#upgrade = upgrade;
    const options = { method, path, headers, body, ...(upgrade === undefined ? {} : { upgrade }) };
    try {
      client.dispatch(options as Dispatcher.DispatchOptions, this);
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
    if (this.#finished || !isSame(headers.upgrade, this.#upgrade)) {
      socket.destroy();
      return this.onResponseError(undefined, new Abandoned("BadResponse"));
    }
    this.#finished = true;
    // Until the tunnel ends its connection is one that the backend is busy with.
    socket.once("close", () => this.#done(false));
    this.#sink.upgraded(headers, socket);
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status >= 100 && status < 200) return;
    const { "transfer-encoding": coding = "chunked", "content-length": length = "0" } = headers;
    // The library counts with blanks around a length as if they were digits, and cuts what was whole.
    const isFramed = isSame(coding, "chunked") && /^[0-9]+$/.test(length);
    if (!isFinalStatus(status) || !isFramed) return this.abandon("BadResponse");
    if (!this.#finished) this.#sink.start(status, headers, "body");
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#finished && !this.#sink.data(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    if (this.#finish(true)) this.#sink.end([]);
  }

  onResponseError(_controller: unknown, error: Error): void {
    const cause = this.#abandoned ?? error;
    if (!this.#finish(false)) return;
    const isAbandoned = cause instanceof Abandoned;
    const { reason, unsent } = isAbandoned ? { reason: cause.reason, unsent: false } : classify(cause, this.#sent);
    this.#sink.failed({ reason, unsent, stale: this.#reused && reason === "Reset" });
  }

  #finish(reusable: boolean): boolean {
    if (this.#finished) return false;
    this.#finished = true;
    this.#done(reusable);
    return true;
  }
}
