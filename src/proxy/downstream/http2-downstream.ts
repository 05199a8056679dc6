import { randomBytes } from "node:crypto";
import { type ServerHttp2Stream, constants } from "node:http2";
import type { Duplex, Readable } from "node:stream";
import { acceptKey } from "../accept-key.ts";
import { BODYLESS, fieldsOf } from "../headers.ts";
import type { Downstream, Follows, RequestHead, Upgrade, Via } from "./downstream.ts";
import { joinPieces } from "../join-pieces.ts";
import { SmallPieces } from "../small-pieces.ts";
import { UNTAKEN_MS, serverNameOf } from "./http1-downstream.ts";

const WEBSOCKET = "websocket";

type Pseudo = ReadonlyMap<string, string>;

function split(raw: readonly string[]): { readonly pseudo: Pseudo; readonly headers: string[] } {
  const pseudo = new Map<string, string>();
  const headers: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [name = "", value = ""] = [raw[i], raw[i + 1]];
    if (name.startsWith(":")) pseudo.set(name, value);
    else headers.push(name, value);
  }
  return { pseudo, headers };
}

/** Backends speak WebSocket over HTTP/1.1, which has a handshake that HTTP/2 left out. @source RFC 8441 section 5. */
function asHandshake(headers: readonly string[], protocol: string, key: string): string[] {
  const kept = headers.filter((_, i) => !(headers[i - (i % 2)] ?? "").startsWith("sec-websocket-key"));
  return [...kept, "connection", "upgrade", "upgrade", protocol, "sec-websocket-key", key];
}

/** HTTP/2: one stream. */
export class Http2Downstream implements Downstream {
  readonly via: Via;
  readonly head: RequestHead;
  readonly hasBody: boolean;
  readonly upgrade: Upgrade | undefined;
  readonly peer: string;
  readonly serverName: string;
  readonly #stream: ServerHttp2Stream;
  readonly #pieces: SmallPieces;
  readonly #waits: boolean;
  #requestTrailers: readonly string[] = [];
  #trailers: readonly string[] = [];
  answeredBytes = 0;
  #waitsForTrailers = false;
  #stopsAfterTrailers = false;
  #status = 0;

  /** @param endOfStream  The request has no body. */
  constructor(via: Via, stream: ServerHttp2Stream, raw: readonly string[], endOfStream: boolean) {
    this.via = via;
    this.#stream = stream;
    this.#pieces = new SmallPieces(stream);
    // Asked now: when the stream has closed nobody knows any more.
    const socket = stream.session?.socket;
    this.peer = socket?.remoteAddress ?? "";
    this.serverName = socket === undefined ? "" : serverNameOf(socket);
    const { pseudo, headers } = split(raw);
    const method = pseudo.get(":method") ?? "";
    // Any other is CONNECT, which is refused.
    const protocol = method === "CONNECT" && pseudo.get(":protocol") === WEBSOCKET ? WEBSOCKET : undefined;
    const head = { version: "2.0", target: pseudo.get(":path") ?? "", authority: pseudo.get(":authority") };
    if (protocol === undefined) this.head = { ...head, method, headers };
    else {
      const key = randomBytes(16).toString("base64");
      this.head = { ...head, method: "GET", headers: asHandshake(headers, protocol, key) };
      const accept = (answer: readonly string[]): Duplex => this.#switch(answer);
      this.upgrade = { acceptedBy: 200, acceptKey: acceptKey(key), protocol, accept };
    }
    this.hasBody = this.upgrade === undefined && !endOfStream;
    if (this.hasBody) joinPieces(stream);
    this.#waits = this.hasBody && headers.some((name, i) => i % 2 === 0 && name === "expect");
    stream.on("trailers", (_headers, _flags, trailers) => (this.#requestTrailers = trailers));
  }

  get trailers(): readonly string[] {
    return this.#requestTrailers;
  }
  get body(): Readable {
    return this.#stream;
  }
  get complete(): boolean {
    return !this.hasBody || this.#stream.readableEnded;
  }
  get status(): number {
    return this.#status;
  }

  askForBody(): void {
    if (this.#waits && this.#isOpen) this.#stream.additionalHeaders({ ":status": 100 });
  }

  takeNoMore(): void {
    // Streams do not depend on each other: what is wrong with one says nothing of where the next one begins.
  }

  begin(status: number, headers: readonly string[], follows: Follows): void {
    this.#respond(status, headers, follows === "nothing" || this.#isBodyless(status), follows === "bodyAndTrailers");
  }

  write(chunk: Buffer): boolean {
    return !this.#isOpen || this.#pieces.write(chunk);
  }

  end(trailers: readonly string[]): void {
    this.#trailers = trailers;
    this.#stream.end();
  }

  answer(status: number, headers: readonly string[], body: string): void {
    const isBodyless = body === "" || this.#isBodyless(status);
    this.#respond(status, headers, isBodyless, false);
    this.#stream.setTimeout(UNTAKEN_MS, () => this.cut());
    if (isBodyless) return;
    this.answeredBytes = Buffer.byteLength(body);
    this.#stream.end(body);
  }

  cut(): void {
    // close() would send the end of the stream before the reset.
    this.#stream.destroy(new Error("the answer broke off"));
  }

  /** @source RFC 9113 section 8.1: after a whole answer the client is told to stop, without an error. */
  dropBody(): void {
    if (this.complete) return;
    if (this.#waitsForTrailers) {
      this.#stopsAfterTrailers = true;
      return;
    }
    if (this.#stream.writableFinished) this.#stop();
    else this.#stream.once("finish", () => this.#stop());
  }

  onGone(listener: () => void): void {
    this.#stream.on("close", listener);
  }

  onDrain(listener: () => void): void {
    this.#stream.on("drain", listener);
  }

  onMalformed(): void {
    // The stream is reset at once, and has gone.
  }

  /** Not at once: the last frame of the answer goes out by the end of this turn, and the reset would overtake it. */
  #stop(): void {
    setImmediate(() => this.#stream.close(constants.NGHTTP2_NO_ERROR));
  }

  get #isOpen(): boolean {
    return !this.#stream.closed && !this.#stream.destroyed;
  }

  #isBodyless(status: number): boolean {
    return this.head.method === "HEAD" || BODYLESS.has(status);
  }

  #respond(status: number, headers: readonly string[], endStream: boolean, trails: boolean): void {
    if (!this.#isOpen || this.#stream.headersSent) return;
    this.#status = status;
    const waitForTrailers = trails && !endStream;
    this.#waitsForTrailers = waitForTrailers;
    try {
      this.#stream.respond([":status", String(status), ...headers], { endStream, waitForTrailers });
    } catch {
      // What this version of HTTP cannot say costs its stream, never the process.
      return this.cut();
    }
    if (waitForTrailers) this.#stream.on("wantTrailers", () => this.#sendTrailers());
  }

  /** Called by Node when the body is out; a throw in here would end the process. */
  #sendTrailers(): void {
    try {
      this.#stream.sendTrailers(fieldsOf(this.#trailers));
    } catch {
      return this.cut();
    }
    if (this.#stopsAfterTrailers) this.#stop();
  }

  #switch(headers: readonly string[]): Duplex {
    const kept = headers.filter((_, i) => headers[i - (i % 2)] !== "sec-websocket-accept");
    this.#respond(200, kept, false, false);
    return this.#stream;
  }
}
