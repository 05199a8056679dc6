import { IncomingMessage, type Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Arrive, Unreadable, Via } from "./downstream.ts";
import { endSoon } from "./end-soon.ts";
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
  // The request policy's to refuse, with its word.
  requireHostHeader: false,
  headersTimeout: 10_000,
  requestTimeout: 0,
  keepAliveTimeout: 75_000,
  connectionsCheckingInterval: 1000,
  maxHeaderSize: 16 * 1024,
  noDelay: true,
  shouldUpgradeCallback: isWebSocket,
} as const;

/** Of bytes that are no request; 400 where they are nothing else. */
const STATUS_OF_ERROR: Readonly<Record<string, Unreadable>> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};
const NOTHING = Buffer.alloc(0);

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
  readonly #last = new Map<Duplex, Http1Downstream | "silent" | "idle">();
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
    for (const last of this.#last.values()) if (last instanceof Http1Downstream) last.takeNoMore();
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
    server.on("upgrade", (incoming, socket, head) => this.#alone(incoming, socket, head));
    // Nothing is tunnelled: it is the request policy that says so.
    server.on("connect", (incoming, socket, head) => this.#alone(incoming, socket, head));
    server.on("clientError", (error: NodeJS.ErrnoException, socket) => this.#malformed(error, socket));
  }

  #request(incoming: IncomingMessage, response: ServerResponse, waits: boolean): void {
    if (this.#draining) response.setHeader("connection", "close");
    const { socket } = incoming;
    const downstream = new Http1Downstream(this.#via, incoming, response, { waits });
    this.#last.set(socket, downstream);
    response.on("close", () => {
      if (this.#last.get(socket) === downstream) this.#last.set(socket, "idle");
    });
    incoming.on("error", () => response.destroy());
    response.on("error", () => incoming.destroy());
    this.#arrive(downstream);
  }

  /** A connection that Node has let go of, or understands no more: it ends with this answer, or changes its protocol. */
  #alone(incoming: IncomingMessage, socket: Duplex, head: Buffer, unreadable?: Unreadable): void {
    this.#last.delete(socket);
    this.#upgraded.add(socket);
    socket.on("close", () => this.#upgraded.delete(socket));
    socket.on("error", () => socket.destroy());
    const response = new ServerResponse(incoming);
    response.shouldKeepAlive = false;
    response.assignSocket(incoming.socket);
    response.on("error", () => socket.destroy());
    response.on("finish", () => endSoon(socket));
    // Node lets go of the socket on an upgrade, so what it told the answer is passed on here.
    socket.on("drain", () => response.emit("drain"));
    this.#arrive(new Http1Downstream(this.#via, incoming, response, { unbound: { socket, head }, unreadable }));
  }

  /** Bytes that are no request get an answer of their own only where no other is under way on their connection. */
  #malformed({ code = "" }: NodeJS.ErrnoException, socket: Duplex): void {
    // It has its answer already.
    if (this.#upgraded.has(socket)) return;
    const last = this.#last.get(socket);
    // One that is not known has not finished its handshake, and one that has said nothing is told nothing.
    const saidNothing = last === undefined || (last === "silent" && (socket as Socket).bytesRead === 0);
    if (saidNothing || !socket.writable || code === "ECONNRESET") socket.destroy();
    else if (last instanceof Http1Downstream) last.malformed();
    else this.#alone(unread(socket as Socket), socket, NOTHING, STATUS_OF_ERROR[code] ?? 400);
  }
}

/** The request that some bytes are not. */
function unread(socket: Socket): IncomingMessage {
  return Object.assign(new IncomingMessage(socket), { method: "", url: "", httpVersion: "", complete: true });
}
