import { type ClientHttp2Session, type ClientHttp2Stream, constants } from "node:http2";
import type { ReasonWord } from "../../routing/rule.ts";
import { BodyTooLarge } from "../request-body.ts";
import type { AnswerSink, Attempt, AttemptFailure, BackendCall } from "./attempt.ts";

/** Header fields by name, repeated ones apart, pseudo-headers left out. */
function byName(raw: readonly string[]): Record<string, string[]> {
  const headers = Object.create(null) as Record<string, string[]>;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    if (!name.startsWith(":")) (headers[name] ??= []).push(raw[i + 1] ?? "");
  }
  return headers;
}

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

/** One try as one stream of an HTTP/2 connection. */
export class Http2Attempt implements Attempt {
  readonly #sink: AnswerSink;
  readonly #call: BackendCall;
  readonly #stale: boolean;
  readonly #ended: () => void;
  #stream: ClientHttp2Stream | undefined;
  #trailers: string[] = [];
  #answered = false;
  #finished = false;

  /** @param ended  Called once. */
  constructor(call: BackendCall, sink: AnswerSink, stale: boolean, ended: () => void) {
    this.#call = call;
    this.#sink = sink;
    this.#stale = stale;
    this.#ended = ended;
  }

  send(session: ClientHttp2Session, scheme: "http" | "https"): void {
    if (this.#finished) return;
    const { body } = this.#call;
    let stream: ClientHttp2Stream;
    try {
      const headers = streamHeaders(this.#call, scheme);
      stream = session.request(headers, { endStream: body === null, waitForTrailers: body !== null });
    } catch {
      return this.fail({ reason: "ConnectFailure", unsent: true, stale: false });
    }
    this.#stream = stream;
    stream.on("response", (headers, flags, raw) => this.#start(headers[":status"] ?? 0, raw, flags));
    stream.on("data", (chunk: Buffer) => {
      if (!this.#finished && !this.#sink.data(chunk)) stream.pause();
    });
    stream.on("trailers", (_headers, _flags, raw: readonly string[]) => (this.#trailers = plain(raw)));
    stream.on("end", () => this.#end(stream));
    stream.on("wantTrailers", () => this.#sendTrailers(stream));
    stream.on("error", () => undefined);
    stream.on("close", () => this.#closed(stream.rstCode));
    if (body !== null) void this.#write(stream, body);
  }

  abandon(reason: ReasonWord): void {
    if (this.#finished) return;
    // close() would send the end of the stream before the reset, and half a body would look whole.
    if (this.#stream?.writableEnded === true) this.#stream.close(constants.NGHTTP2_CANCEL);
    else this.#stream?.destroy(new Error(reason));
    this.fail({ reason, unsent: false, stale: false });
  }

  resume(): void {
    this.#stream?.resume();
  }

  fail(failure: AttemptFailure): void {
    if (this.#finish()) this.#sink.failed(failure);
  }

  #start(status: number, raw: readonly string[], flags: number): void {
    if (this.#finished) return;
    this.#answered = true;
    const isAll = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    this.#sink.start(status, byName(raw), isAll ? "nothing" : "bodyAndTrailers");
  }

  /** An answer may be whole before the request is: what is left of it then is of no use to the backend. */
  #end(stream: ClientHttp2Stream): void {
    if (!this.#answered || stream.rstCode !== constants.NGHTTP2_NO_ERROR || !this.#finish()) return;
    this.#sink.end(this.#trailers);
    if (!stream.writableFinished) stream.close(constants.NGHTTP2_NO_ERROR);
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

  #sendTrailers(stream: ClientHttp2Stream): void {
    stream.sendTrailers(byName(this.#call.trailers()));
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

  #finish(): boolean {
    if (this.#finished) return false;
    this.#finished = true;
    this.#ended();
    return true;
  }
}
