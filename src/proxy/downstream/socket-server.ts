import { constants } from "node:crypto";
import { type IncomingMessage, type Server, ServerResponse, createServer } from "node:http";
import { type Server as TlsServer, createServer as createTlsServer } from "node:https";
import { Server as NetServer } from "node:net";
import type { Duplex } from "node:stream";
import type { ListenerState } from "../../routing/programmed.ts";
import type { Certificate, Listener } from "../../routing/listener.ts";
import type { Arrival } from "../serve.ts";
import type { TlsContexts } from "./tls-contexts.ts";

export interface SocketHandlers {
  readonly serve: (arrival: Arrival) => void;
  readonly listeners: () => readonly Listener[];
  readonly changed: (state: ListenerState) => void;
}

/**
 * Other protocols that a client offers, h2c above all, are declined by answering the request as it is.
 *
 * @source RFC 6455 section 4.1.
 */
function isWebSocket({ method, httpVersion, headers }: IncomingMessage): boolean {
  return method === "GET" && httpVersion === "1.1" && headers.upgrade?.toLowerCase() === "websocket";
}

const SERVER_OPTIONS = {
  insecureHTTPParser: false,
  requireHostHeader: true,
  headersTimeout: 10_000,
  requestTimeout: 0,
  keepAliveTimeout: 75_000,
  connectionsCheckingInterval: 1000,
  maxHeaderSize: 16 * 1024,
  noDelay: true,
  shouldUpgradeCallback: isWebSocket,
} as const;
/** Handshakes: from TLS 1.2 on, and one for each connection, because each costs the server more than the client. */
const TLS_OPTIONS = { minVersion: "TLSv1.2", secureOptions: constants.SSL_OP_NO_RENEGOTIATION } as const;
const IDLE_SWEEP_MS = 100;
/** While draining, a kept connection gets this long to send its next request, which is answered with `connection: close`. */
const IDLE_GRACE_MS = 2000;
const BACKLOG = 4096;
const BIND_RETRY_MS = 2000;

/** One bound address and port, with all listeners on it. */
export class SocketServer {
  readonly #address: string;
  readonly #port: number;
  readonly #scheme: "http" | "https";
  readonly #handlers: SocketHandlers;
  readonly #server: Server | TlsServer;
  readonly #upgraded = new Set<Duplex>();
  /** Answers that have not ended. */
  readonly #open = new Set<ServerResponse>();
  readonly #last = new WeakMap<Duplex, ServerResponse>();
  /** Connections that have asked nothing yet, which Node does not count as idle. */
  readonly #silent = new Set<Duplex>();
  #default: Certificate | undefined;
  #retry: NodeJS.Timeout | undefined;
  #draining = false;

  constructor(first: Listener, tls: TlsContexts, handlers: SocketHandlers) {
    this.#address = first.address;
    this.#port = first.bindPort;
    this.#scheme = first.protocol === "HTTPS" ? "https" : "http";
    this.#handlers = handlers;
    this.#server =
      this.#scheme === "https"
        ? createTlsServer({ ...SERVER_OPTIONS, ...TLS_OPTIONS, SNICallback: this.#chooser(tls) })
        : createServer(SERVER_OPTIONS);
    this.#wire();
  }

  get protocol(): Listener["protocol"] {
    return this.#scheme === "https" ? "HTTPS" : "HTTP";
  }

  listen(): void {
    this.#server.listen({ host: this.#address, port: this.#port, backlog: BACKLOG });
  }

  /** The certificate for clients that name no server; none: their handshake is refused. */
  useDefault(certificate: Certificate | undefined): void {
    if (this.#scheme !== "https" || certificate === this.#default) return;
    this.#default = certificate;
    const shown = certificate === undefined ? {} : { cert: certificate.chain, key: certificate.key.reveal() };
    (this.#server as TlsServer).setSecureContext({ ...TLS_OPTIONS, ...shown });
  }

  /** Takes no new connections; those that are open end with their request. */
  async drain(): Promise<void> {
    this.#draining = true;
    clearTimeout(this.#retry);
    for (const response of this.#open) if (!response.headersSent) response.setHeader("connection", "close");
    // Not the HTTP server's own close: it cuts idle connections at once, on which a request may be on its way.
    const closed = new Promise<void>((resolve) => NetServer.prototype.close.call(this.#server, () => resolve()));
    const grace = setTimeout(() => (sweep = setInterval(() => this.#closeIdle(), IDLE_SWEEP_MS)), IDLE_GRACE_MS);
    let sweep: NodeJS.Timeout | undefined;
    await closed;
    clearTimeout(grace);
    clearInterval(sweep);
    this.#server.close();
  }

  /** Cuts what is still open. */
  destroy(): void {
    this.#server.closeAllConnections();
    for (const socket of this.#upgraded) socket.destroy();
  }

  #closeIdle(): void {
    this.#server.closeIdleConnections();
    for (const socket of this.#silent) socket.destroy();
  }

  #wire(): void {
    const server = this.#server;
    server.on("listening", () => this.#handlers.changed({ kind: "serving" }));
    server.on("error", (error: NodeJS.ErrnoException) => {
      // Once it listens, an error is of one connection that could not be taken.
      if (!server.listening) this.#bindFailed(error);
    });
    server.on("request", (incoming, response) => this.#request(incoming, response, false));
    // Whether somebody wants the body is known only after the decision; other expectations are the request policy's.
    server.on("checkContinue", (incoming, response) => this.#request(incoming, response, true));
    server.on("checkExpectation", (incoming, response) => this.#request(incoming, response, true));
    server.on(this.#scheme === "https" ? "secureConnection" : "connection", (socket: Duplex) => {
      this.#silent.add(socket);
      socket.on("close", () => this.#silent.delete(socket));
    });
    server.on("upgrade", (incoming, socket, head) => {
      this.#silent.delete(incoming.socket);
      this.#upgraded.add(socket);
      socket.on("close", () => this.#upgraded.delete(socket));
      socket.on("error", () => socket.destroy());
      const response = new ServerResponse(incoming);
      response.shouldKeepAlive = false;
      response.assignSocket(incoming.socket);
      response.on("error", () => socket.destroy());
      response.on("finish", () => socket.end());
      // Node lets go of the socket on an upgrade, so what it told the answer is passed on here.
      socket.on("drain", () => response.emit("drain"));
      this.#handlers.serve({
        incoming,
        response,
        socket: this.#name(),
        scheme: this.#scheme,
        waits: false,
        keepAlive: false,
        upgrade: { socket, head },
      });
    });
    server.on("connect", (_incoming, socket) => {
      socket.on("error", () => socket.destroy());
      socket.end("HTTP/1.1 405 Method Not Allowed\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    });
    server.on("clientError", (error: NodeJS.ErrnoException, socket) => this.#malformed(error, socket));
  }

  /** Bytes that are no request get an answer of their own only where no other is under way on their connection. */
  #malformed(error: NodeJS.ErrnoException, socket: Duplex): void {
    const last = this.#last.get(socket);
    const isAnswering = last !== undefined && !last.writableFinished && !last.destroyed;
    if (isAnswering && last.req.complete) {
      if (!last.headersSent) last.setHeader("connection", "close");
      last.once("finish", () => socket.end());
    } else if (isAnswering && last.headersSent) socket.destroy();
    else if (!socket.writable || error.code === "ECONNRESET") socket.destroy();
    else {
      const status = error.code === "HPE_HEADER_OVERFLOW" ? "431 Request Header Fields Too Large" : "400 Bad Request";
      socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
    }
  }

  #request(incoming: IncomingMessage, response: ServerResponse, waits: boolean): void {
    if (this.#draining) response.setHeader("connection", "close");
    this.#silent.delete(incoming.socket);
    this.#open.add(response);
    this.#last.set(incoming.socket, response);
    response.on("close", () => this.#open.delete(response));
    incoming.on("error", () => response.destroy());
    response.on("error", () => incoming.destroy());
    const { shouldKeepAlive: keepAlive } = response;
    this.#handlers.serve({ incoming, response, socket: this.#name(), scheme: this.#scheme, waits, keepAlive });
  }

  /** A port that is taken may become free: it is tried again until the listener goes (F52). */
  #bindFailed(error: NodeJS.ErrnoException): void {
    const why =
      error.code === "EACCES"
        ? "needs privileges; use a port above 1023"
        : error.code === "EADDRINUSE"
          ? "is in use"
          : (error.code ?? error.message);
    this.#handlers.changed({
      kind: "failed",
      reason: "PortUnavailable",
      message: `port ${this.#port} of ${this.#address} cannot be bound: ${why}`,
    });
    if (!this.#draining) this.#retry = setTimeout(() => this.listen(), BIND_RETRY_MS);
  }

  #name(): string {
    return this.#address.includes(":") ? `[${this.#address}]:${this.#port}` : `${this.#address}:${this.#port}`;
  }

  #chooser(tls: TlsContexts) {
    return (
      serverName: string,
      done: (error: Error | null, context?: ReturnType<TlsContexts["select"]>) => void,
    ): void => {
      // A throw in here would take the process down (CVE-2026-21637).
      try {
        const context = tls.select(this.#handlers.listeners(), serverName);
        if (context === undefined) done(new Error("no listener for this name"));
        else done(null, context);
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)));
      }
    };
  }
}
