import { type ClientHttp2Session, type ClientHttp2Stream, constants } from "node:http2";
import type { ReasonWord } from "../../routing/rule.ts";
import { fieldsOf } from "../headers.ts";
import { BodyTooLarge } from "../request-body.ts";
import { joinPieces } from "../join-pieces.ts";
import { connectHeaders, handshakeAnswer, hasSettings } from "./extended-connect.ts";
import { type AnswerSink, type Attempt, type AttemptFailure, type BackendCall, isFinalStatus } from "./attempt.ts";

/** The same as names and values by turns. */
function plain(raw: readonly string[]): string[] {
  return raw.filter((_, i) => !(raw[i - (i % 2)] ?? ":").startsWith(":"));
}

/** `host` is said by `:authority`, `te` may only speak of trailers, and length is the framing's. */
function streamHeaders({ method, path, headers }: BackendCall, scheme: "http" | "https"): string[] {
  const authority = headers[headers.findIndex((name, i) => i % 2 === 0 && name === "host") + 1] ?? "";
  const kept = headers.filter((_, i) => headers[i - (i % 2)] !== "host");
  return [":method", method, ":scheme", scheme, ":authority", authority, ":path", path, ...kept];
}

async function drained(stream: ClientHttp2Stream): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      stream.off("drain", done).off("close", done);
      resolve();
    };
    stream.on("drain", done).on("close", done);
  });
}

/** What a stream says of its connection: whether it answered, was given up, or was silent for too long. */
export type StreamOutcome = "answered" | "cancelled" | "silent" | "failed";

/**
 * Notes whether a stream ended by its last frame. Node says `end` of one that was reset without an error as well, but
 * by then it has closed it.
 */
function watchEnd(stream: ClientHttp2Stream): () => boolean {
  const push = stream.push.bind(stream);
  let isInOrder = false;
  stream.push = (chunk: unknown, encoding?: BufferEncoding) => {
    if (chunk === null && !stream.closed) isInOrder = true;
    return push(chunk, encoding);
  };
  return () => isInOrder;
}

/** One try as one stream of an HTTP/2 connection. */
export class Http2Attempt implements Attempt {
  readonly #sink: AnswerSink;
  readonly #call: BackendCall;
  readonly #stale: boolean;
  readonly #ended: (outcome: StreamOutcome) => void;
  #stream: ClientHttp2Stream | undefined;
  #trailers: string[] = [];
  #answered = false;
  #finished = false;

  /** @param ended  Called once. */
  constructor(call: BackendCall, sink: AnswerSink, stale: boolean, ended: (outcome: StreamOutcome) => void) {
    this.#call = call;
    this.#sink = sink;
    this.#stale = stale;
    this.#ended = ended;
  }

  send(session: ClientHttp2Session, scheme: "http" | "https"): void {
    if (this.#finished) return;
    const { body, upgrade } = this.#call;
    const unsent = (): void => this.fail({ reason: "ConnectFailure", unsent: true, stale: false });
    if (upgrade !== undefined && session.destroyed) return unsent();
    if (upgrade !== undefined && !hasSettings(session, () => this.send(session, scheme), unsent)) return;
    if (upgrade !== undefined && session.remoteSettings.enableConnectProtocol !== true)
      return this.fail({ reason: "BadResponse", unsent: false, stale: false });
    let stream: ClientHttp2Stream;
    try {
      const headers = upgrade === undefined ? streamHeaders(this.#call, scheme) : connectHeaders(this.#call, scheme);
      const isWhole = body === null && upgrade === undefined;
      stream = session.request(headers, { endStream: isWhole, waitForTrailers: body !== null });
    } catch {
      return unsent();
    }
    this.#stream = stream;
    const isWhole = watchEnd(stream);
    joinPieces(stream);
    const guarded = this.#guard.bind(this);
    stream.on("response", (headers, flags, raw) =>
      guarded(() => this.#start(headers[":status"] ?? 0, raw, (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0)),
    );
    stream.on("data", (chunk: Buffer) =>
      guarded(() => {
        if (!this.#finished && !this.#sink.data(chunk)) stream.pause();
      }),
    );
    stream.on("trailers", (_headers, _flags, raw: readonly string[]) => (this.#trailers = plain(raw)));
    stream.on("end", () => guarded(() => this.#end(stream, isWhole())));
    stream.on("wantTrailers", () => guarded(() => stream.sendTrailers(fieldsOf(this.#call.trailers()))));
    stream.on("error", () => undefined);
    stream.on("close", () => this.#closed(stream.rstCode));
    if (body !== null) void this.#write(stream, body);
  }

  abandon(reason: ReasonWord): void {
    if (this.#finished) return;
    const isSilent = !this.#answered && reason.endsWith("Timeout");
    // close() would send the end of the stream before the reset, and half a body would look whole.
    if (this.#stream?.writableEnded === true) this.#stream.close(constants.NGHTTP2_CANCEL);
    else this.#stream?.destroy(new Error(reason));
    this.fail({ reason, unsent: false, stale: false }, isSilent ? "silent" : "cancelled");
  }

  resume(): void {
    this.#stream?.resume();
  }

  fail(failure: AttemptFailure, outcome: StreamOutcome = "failed"): void {
    if (this.#finish(outcome)) this.#sink.failed(failure);
  }

  /** What a listener of a stream throws would end the process: here it costs the stream. */
  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#stream?.destroy(error instanceof Error ? error : new Error(String(error)));
      this.fail({ reason: "BadResponse", unsent: false, stale: false });
    }
  }

  #start(status: number, raw: readonly string[], isAll: boolean): void {
    if (this.#finished) return;
    if (!isFinalStatus(status)) return this.abandon("BadResponse");
    this.#answered = true;
    if (this.#call.upgrade !== undefined && status < 300) return this.#switch(raw);
    this.#sink.start(status, fieldsOf(raw), isAll ? "nothing" : "bodyAndTrailers");
  }

  /** Until the tunnel ends its stream is a request that the backend is busy with. */
  #switch(raw: readonly string[]): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#finished = true;
    stream.once("close", () => this.#ended("answered"));
    this.#sink.upgraded({ ...fieldsOf(raw), ...handshakeAnswer(this.#call) }, stream);
  }

  /** An answer may be whole before the request is: what is left of it then is of no use to the backend. */
  #end(stream: ClientHttp2Stream, isWhole: boolean): void {
    if (!isWhole || !this.#answered || !this.#finish("answered")) return;
    this.#sink.end(this.#trailers);
    if (!stream.writableEnded) stream.destroy(new Error("answered before the request was whole"));
  }

  async #write(stream: ClientHttp2Stream, body: AsyncIterable<Buffer> | Buffer): Promise<void> {
    if (Buffer.isBuffer(body)) return void stream.end(body);
    try {
      for await (const chunk of body) {
        if (stream.destroyed || stream.closed) return;
        if (!stream.write(chunk)) await drained(stream);
      }
      if (!stream.destroyed) stream.end();
    } catch (error) {
      this.abandon(error instanceof BodyTooLarge ? "BodyTooLarge" : "Reset");
    }
  }

  #closed(code: number | undefined): void {
    const refused = code === constants.NGHTTP2_REFUSED_STREAM;
    const malformed = code === constants.NGHTTP2_PROTOCOL_ERROR;
    this.fail({
      reason: malformed ? "BadResponse" : "Reset",
      unsent: refused,
      stale: this.#stale && !this.#answered && !malformed,
    });
  }

  #finish(outcome: StreamOutcome): boolean {
    if (this.#finished) return false;
    this.#finished = true;
    this.#ended(outcome);
    return true;
  }
}
