import { IncomingMessage, type Server, ServerResponse } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { SocketHandlers } from "./bound-server.ts";
import type { Unreadable, Via } from "./downstream.ts";
import { endSoon } from "./end-soon.ts";
import { guarded } from "./guarded.ts";
import { Http1Connection } from "./http1-connection.ts";
import { Http1Downstream, type Http1Parts } from "./http1-downstream.ts";

/**
 * Other protocols that a client offers, h2c above all, are declined by answering the request as it is.
 *
 * @source RFC 6455 section 4.1.
 */
function isWebSocket({ method, httpVersion, headers }: IncomingMessage): boolean {
  return method === "GET" && httpVersion === "1.1" && headers.upgrade?.toLowerCase() === "websocket";
}

type Handlers = Pick<SocketHandlers, "arrive" | "defect">;

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

/** The connections of one socket that speak HTTP/1: requests on them, and how they end. */
export class Http1Connections {
  readonly #server: Server;
  readonly #via: Via;
  readonly #handlers: Handlers;
  readonly #open = new Map<Duplex, Http1Connection>();
  /** Those that Node has let go of, or that end with an answer. */
  readonly #alone = new Set<Duplex>();
  readonly #take: (socket: Duplex) => void;
  #draining = false;

  /** @param server  Whose connections are taken from it, to be given back by {@link take}. */
  constructor(server: Server, connected: "connection" | "secureConnection", via: Via, handlers: Handlers) {
    this.#server = server;
    this.#via = via;
    this.#handlers = handlers;
    const [taking] = server.listeners(connected);
    server.removeAllListeners(connected);
    this.#take = (socket) => void taking?.call(server, socket);
    this.#wire();
  }

  take(socket: Duplex): void {
    const connection = new Http1Connection(socket);
    this.#open.set(socket, connection);
    socket.on("close", () => {
      this.#open.delete(socket);
      this.#alone.delete(socket);
    });
    this.#take(socket);
    connection.drained = socket.listeners("drain") as (() => void)[];
  }

  drain(): void {
    this.#draining = true;
    for (const connection of this.#open.values()) if (connection.isBusy) connection.newest?.takeNoMore();
  }

  closeIdle(): void {
    this.#server.closeIdleConnections();
    for (const [socket, { newest }] of this.#open) if (newest === undefined) socket.destroy();
  }

  destroy(): void {
    this.#server.closeAllConnections();
    for (const socket of this.#alone) socket.destroy();
  }

  #wire(): void {
    const server = this.#server;
    const request = (waits: boolean) => (incoming: IncomingMessage, response: ServerResponse) =>
      this.#guarded(incoming.socket, () => this.#request(incoming, response, waits));
    server.on("request", request(false));
    // Whether somebody wants the body is known only after the decision; other expectations are the request policy's.
    server.on("checkContinue", request(true));
    server.on("checkExpectation", request(true));
    const last = (incoming: IncomingMessage, socket: Duplex, unbound: Buffer): void =>
      this.#guarded(socket, () => this.#last(incoming, socket, { unbound }));
    server.on("upgrade", last);
    // Nothing is tunnelled: it is the request policy that says so.
    server.on("connect", last);
    server.on("clientError", (error: NodeJS.ErrnoException, socket) =>
      this.#guarded(socket, () => this.#malformed(error, socket)),
    );
  }

  #guarded(socket: Duplex, work: () => void): void {
    guarded(socket, this.#handlers.defect, work);
  }

  #request(incoming: IncomingMessage, response: ServerResponse, waits: boolean): void {
    if (this.#draining) response.setHeader("connection", "close");
    incoming.on("error", () => response.destroy());
    response.on("error", () => incoming.destroy());
    const downstream = new Http1Downstream(this.#via, incoming, response, { waits });
    const { socket } = incoming;
    const begin = (): void => {
      if (downstream.turn() && !response.destroyed) this.#handlers.arrive(downstream);
      else socket.destroy();
    };
    this.#open.get(socket)?.take(downstream, response, () => this.#guarded(socket, begin));
  }

  /** The last of its connection, which ends with this answer or changes its protocol. */
  #last(incoming: IncomingMessage, socket: Duplex, parts: Pick<Http1Parts, "unbound" | "unreadable">): void {
    this.#alone.add(socket);
    socket.on("error", () => socket.destroy());
    const response = new ServerResponse(incoming);
    response.shouldKeepAlive = false;
    response.on("error", () => socket.destroy());
    response.on("finish", () => endSoon(socket));
    const connection = this.#open.get(socket);
    // Node lets go of the socket on an upgrade: whichever answer is under way, it has to hear when there is room again.
    if (parts.unreadable === undefined) for (const drained of connection?.drained ?? []) socket.on("drain", drained);
    const downstream = new Http1Downstream(this.#via, incoming, response, parts);
    const begin = (): void => {
      downstream.turn();
      response.assignSocket(incoming.socket);
      this.#handlers.arrive(downstream);
    };
    connection?.take(downstream, response, () => this.#guarded(socket, begin));
  }

  /** Bytes that are no request get an answer of their own only where no other is under way on their connection. */
  #malformed({ code = "" }: NodeJS.ErrnoException, socket: Duplex): void {
    // It has its last answer already, or will have no other.
    const connection = this.#open.get(socket);
    if (this.#alone.has(socket) || connection?.isMalformed === true) return;
    if (connection !== undefined) connection.isMalformed = true;
    const newest = connection?.newest;
    // One that is not known has not finished its handshake, and one that has said nothing is told nothing.
    const isOver = connection === undefined || !socket.writable || code === "ECONNRESET";
    if (isOver || !(socket instanceof Socket) || socket.bytesRead === 0) socket.destroy();
    else if (connection.isBusy) newest?.malformed();
    else this.#last(unread(socket), socket, { unreadable: STATUS_OF_ERROR[code] ?? 400 });
  }
}

/** The request that some bytes are not. */
function unread(socket: Socket): IncomingMessage {
  return Object.assign(new IncomingMessage(socket), { method: "", url: "", httpVersion: "", complete: true });
}
