import { type IncomingMessage, type Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Arrive, Via } from "./downstream.ts";
import { Http1Downstream } from "./http1-downstream.ts";

/**
 * Other protocols that a client offers, h2c above all, are declined by answering the request as it is.
 *
 * @source RFC 6455 section 4.1.
 */
function isWebSocket({ method, httpVersion, headers }: IncomingMessage): boolean {
  return method === "GET" && httpVersion === "1.1" && headers.upgrade?.toLowerCase() === "websocket";
}

export const HTTP1_OPTIONS = {
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

/** How long a client may take to close a connection that we have ended. */
const LINGER_MS = 5000;

/** The connections of one socket that speak HTTP/1: requests on them, and how they end. */
export class Http1Connections {
  readonly #server: Server;
  readonly #via: Via;
  readonly #arrive: Arrive;
  readonly #upgraded = new Set<Duplex>();
  /**
   * The answer that each connection waits for last; those that have asked nothing yet are silent, which Node does not
   * count as idle. By connection, since a Set of answers would be made anew all the time, and what it held before each
   * time, which is every request, would stay in memory until all of it is searched for garbage.
   */
  readonly #last = new Map<Duplex, ServerResponse | "silent" | "idle">();
  readonly #take: (socket: Duplex) => void;
  #draining = false;

  /** @param server  Whose connections are taken from it, to be given back by {@link take}. */
  constructor(server: Server, connected: "connection" | "secureConnection", via: Via, arrive: Arrive) {
    this.#server = server;
    this.#via = via;
    this.#arrive = arrive;
    const [taking] = server.listeners(connected);
    server.removeAllListeners(connected);
    this.#take = (socket) => void taking?.call(server, socket);
    this.#wire();
  }

  take(socket: Duplex): void {
    this.#last.set(socket, "silent");
    socket.on("close", () => this.#last.delete(socket));
    this.#take(socket);
  }

  drain(): void {
    this.#draining = true;
    for (const last of this.#last.values())
      if (last instanceof ServerResponse && !last.headersSent) last.setHeader("connection", "close");
  }

  closeIdle(): void {
    this.#server.closeIdleConnections();
    for (const [socket, last] of this.#last) if (last === "silent") socket.destroy();
  }

  destroy(): void {
    this.#server.closeAllConnections();
    for (const socket of this.#upgraded) socket.destroy();
  }

  #wire(): void {
    const server = this.#server;
    server.on("request", (incoming, response) => this.#request(incoming, response, false));
    // Whether somebody wants the body is known only after the decision; other expectations are the request policy's.
    server.on("checkContinue", (incoming, response) => this.#request(incoming, response, true));
    server.on("checkExpectation", (incoming, response) => this.#request(incoming, response, true));
    server.on("upgrade", (incoming, socket, head) => this.#upgrade(incoming, socket, head));
    server.on("connect", (_incoming, socket) => {
      socket.on("error", () => socket.destroy());
      socket.end("HTTP/1.1 405 Method Not Allowed\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    });
    server.on("clientError", (error: NodeJS.ErrnoException, socket) => this.#malformed(error, socket));
  }

  #request(incoming: IncomingMessage, response: ServerResponse, waits: boolean): void {
    if (this.#draining) response.setHeader("connection", "close");
    const { socket } = incoming;
    this.#last.set(socket, response);
    response.on("close", () => {
      if (this.#last.get(socket) === response) this.#last.set(socket, "idle");
    });
    incoming.on("error", () => response.destroy());
    response.on("error", () => incoming.destroy());
    this.#arrive(new Http1Downstream(this.#via, incoming, response, waits));
  }

  #upgrade(incoming: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#last.delete(incoming.socket);
    this.#upgraded.add(socket);
    socket.on("close", () => this.#upgraded.delete(socket));
    socket.on("error", () => socket.destroy());
    const response = new ServerResponse(incoming);
    response.shouldKeepAlive = false;
    response.assignSocket(incoming.socket);
    response.on("error", () => socket.destroy());
    response.on("finish", () => {
      // An answer instead of the switch: what still comes is read and dropped, and not for ever.
      socket.resume().end();
      const linger = setTimeout(() => socket.destroy(), LINGER_MS);
      socket.once("close", () => clearTimeout(linger));
    });
    // Node lets go of the socket on an upgrade, so what it told the answer is passed on here.
    socket.on("drain", () => response.emit("drain"));
    this.#arrive(new Http1Downstream(this.#via, incoming, response, false, { socket, head }));
  }

  /** Bytes that are no request get an answer of their own only where no other is under way on their connection. */
  #malformed(error: NodeJS.ErrnoException, socket: Duplex): void {
    const last = this.#last.get(socket);
    const isAnswering = last instanceof ServerResponse && !last.writableFinished && !last.destroyed;
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
}
