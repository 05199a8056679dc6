import {
  type ClientHttp2Session,
  type Http2Server,
  type SecureClientSessionOptions,
  type ServerHttp2Stream,
  connect,
  createServer,
} from "node:http2";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { once } from "node:events";

/** What came back on one stream. */
export interface Http2Reply {
  readonly status: number;
  /** Names and values by turns. */
  readonly headers: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
  /** How the stream ended: 0 is in order. */
  readonly code: number;
}

export interface Http2Ask {
  readonly method?: string;
  readonly authority?: string;
  /** Names and values by turns. */
  readonly headers?: readonly string[];
  readonly body?: string | Buffer;
  readonly trailers?: Readonly<Record<string, string>>;
}

export async function openHttp2(url: string, options: SecureClientSessionOptions = {}): Promise<ClientHttp2Session> {
  const session = connect(url, options);
  session.on("error", () => undefined);
  await once(session, "remoteSettings");
  return session;
}

/** One request on a session. Never rejects: a stream that is reset has a code. */
export async function askHttp2(session: ClientHttp2Session, path: string, ask: Http2Ask = {}): Promise<Http2Reply> {
  const { method = "GET", authority = "a.example.com", headers = [], body, trailers } = ask;
  const stream = session.request(
    [":method", method, ":path", path, ":scheme", "http", ":authority", authority, ...headers],
    { endStream: body === undefined && trailers === undefined, waitForTrailers: trailers !== undefined },
  );
  stream.on("wantTrailers", () => stream.sendTrailers(trailers ?? {}));
  if (body !== undefined || trailers !== undefined) stream.end(body);
  return replyOf(stream);
}

export async function replyOf(stream: Duplex & { readonly rstCode?: number | undefined }): Promise<Http2Reply> {
  const reply = { status: 0, headers: [] as readonly string[], body: "", trailers: [] as readonly string[], code: 0 };
  stream.setEncoding("utf8");
  stream.on("response", (headers: { ":status": number }, _flags: number, raw: readonly string[]) => {
    reply.status = headers[":status"];
    reply.headers = raw;
  });
  stream.on("trailers", (_headers: object, _flags: number, raw: readonly string[]) => (reply.trailers = raw));
  stream.on("data", (chunk: string) => (reply.body += chunk));
  stream.on("error", () => undefined);
  await new Promise<void>((resolve) => stream.once("close", resolve));
  return { ...reply, code: stream.rstCode ?? 0 };
}

/** Every value of a header or trailer. */
export function valuesOf(raw: readonly string[], name: string): string[] {
  return raw.filter((_, i) => i % 2 === 1 && raw[i - 1] === name);
}

export interface Http2Seen {
  /** With pseudo-headers, names and values by turns. */
  readonly headers: readonly string[];
  body: string;
  trailers: readonly string[];
}

/** A backend that speaks HTTP/2 without having been asked, and remembers every request. */
export class Http2Backend {
  readonly seen: Http2Seen[] = [];
  readonly sessions = new Set<{ destroy(): void; goaway(code: number): void }>();
  answer: (stream: ServerHttp2Stream, seen: Http2Seen) => void = (stream) => {
    stream.respond({ ":status": 200, "content-type": "text/plain" });
    stream.end("h2");
  };
  readonly #server: Http2Server;

  constructor() {
    this.#server = createServer({ settings: { enableConnectProtocol: true } });
    this.#server.on("session", (session) => {
      this.sessions.add(session);
      session.on("close", () => this.sessions.delete(session));
      session.on("error", () => undefined);
    });
    this.#server.on("stream", (stream, _headers, _flags, raw) => {
      const seen: Http2Seen = { headers: raw, body: "", trailers: [] };
      this.seen.push(seen);
      stream.on("error", () => undefined);
      stream.on("data", (chunk: Buffer) => (seen.body += chunk.toString()));
      stream.on("trailers", (_t, _f, trailers) => (seen.trailers = trailers as readonly string[]));
      this.answer(stream, seen);
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async start(): Promise<this> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return this;
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const session of this.sessions) session.destroy();
    await closed;
  }
}
