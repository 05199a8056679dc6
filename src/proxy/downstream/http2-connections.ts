import { type Http2Server, type ServerHttp2Session, constants, createServer } from "node:http2";
import type { Duplex } from "node:stream";
import type { SocketHandlers } from "./bound-server.ts";
import type { Via } from "./downstream.ts";
import { cutSoon } from "./end-soon.ts";
import { guarded } from "./guarded.ts";
import { Http2Downstream } from "./http2-downstream.ts";

const KIB = 1024;
/** Values that Envoy recommends for an edge; what a peer may do without limit by Node's defaults has one here (B58). */
const OPTIONS = {
  settings: {
    maxConcurrentStreams: 100,
    initialWindowSize: 64 * KIB,
    maxHeaderListSize: 64 * KIB,
    enablePush: false,
    enableConnectProtocol: true,
  },
  // Beyond these two a stream is reset; the request policy's own limits, which have an answer, lie below.
  maxHeaderListPairs: 1000,
  maxSessionInvalidFrames: 100,
  maxSessionRejectedStreams: 100,
  maxSessionMemory: 10,
  streamResetBurst: 200,
  streamResetRate: 33,
  // A backend may repeat a header that should come once; that must not cost the answer.
  strictSingleValueFields: false,
} as const;
const CONNECTION_WINDOW = 1024 * KIB;
/** A connection without a stream is closed after this time, whatever else comes on it. */
const IDLE_MS = 75_000;
const LAST_POSSIBLE_STREAM = 2 ** 31 - 1;

type Handlers = Pick<SocketHandlers, "arrive" | "defect">;

/** The connections of one socket that speak HTTP/2. */
export class Http2Connections {
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #via: Via;
  readonly #handlers: Handlers;

  constructor(via: Via, handlers: Handlers) {
    this.#via = via;
    this.#handlers = handlers;
    this.#server = createServer(OPTIONS);
    this.#server.on("session", (session) => guarded(session, handlers.defect, () => this.#open(session)));
    this.#server.on("sessionError", () => undefined);
  }

  take(socket: Duplex): void {
    // Sockets of Node's HTTP server outlive their clients' FIN, which its HTTP/2 does not expect.
    socket.allowHalfOpen = false;
    // However a session ends: Node closes our side, and waits for the client's.
    socket.once("finish", () => cutSoon(socket));
    this.#server.emit("connection", socket);
  }

  /** Asks clients to send no new requests; those that they send before they know are served. @source RFC 9113 6.8. */
  drain(): void {
    for (const session of this.#sessions)
      if (!session.destroyed) session.goaway(constants.NGHTTP2_NO_ERROR, LAST_POSSIBLE_STREAM);
  }

  /** Takes no new requests; each connection ends with its last stream. */
  closeIdle(): void {
    for (const session of this.#sessions) if (!session.closed) session.close();
  }

  destroy(): void {
    for (const session of this.#sessions) session.destroy();
  }

  #open(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    session.setLocalWindowSize(CONNECTION_WINDOW);
    let streams = 0;
    const idle = setTimeout(() => {
      if (streams === 0) session.close();
    }, IDLE_MS);
    session.on("error", () => session.destroy());
    session.on("close", () => {
      clearTimeout(idle);
      this.#sessions.delete(session);
    });
    session.on("stream", (stream, _headers, flags, raw: readonly string[]) => {
      streams++;
      // Without a listener one stream that is reset would end the process.
      stream.on("error", () => undefined);
      stream.on("close", () => {
        if (--streams === 0 && this.#sessions.has(session)) idle.refresh();
      });
      // Node lets go of a stream that was reset only when somebody has read it to its end.
      stream.on("aborted", () => stream.destroy());
      if (stream.closed) return void stream.destroy();
      const endOfStream = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      const { arrive, defect } = this.#handlers;
      guarded(stream, defect, () => arrive(new Http2Downstream(this.#via, stream, raw, endOfStream)));
    });
  }
}
