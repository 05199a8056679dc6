import { constants } from "node:crypto";
import { type Server, createServer } from "node:http";
import { type Server as TlsServer, createServer as createTlsServer } from "node:https";
import { Server as NetServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { serverNameFor } from "../../routing/hostname.ts";
import type { Certificate, Listener } from "../../routing/listener.ts";
import { Binding, overTcp } from "./binding.ts";
import type { BoundServer, SocketHandlers } from "./bound-server.ts";
import type { Via } from "./downstream.ts";
import { guarded } from "./guarded.ts";
import { HTTP1_OPTIONS, Http1Connections } from "./http1-connections.ts";
import { Http2Connections } from "./http2-connections.ts";
import { chooseByPreface } from "./protocol-choice.ts";
import type { TlsContexts } from "./tls-contexts.ts";

/** Handshakes: from TLS 1.2 on, and one for each connection, because each costs the server more than the client. */
const TLS_OPTIONS = { minVersion: "TLSv1.2", secureOptions: constants.SSL_OP_NO_RENEGOTIATION } as const;
const HANDSHAKE_MS = 10_000;
const IDLE_SWEEP_MS = 100;
/** While draining, a kept connection gets this long to send its next request, which is answered with `connection: close`. */
const IDLE_GRACE_MS = 2000;

interface ServerSettings {
  readonly http2: boolean;
  readonly ticketKeys?: Buffer;
}

/** One bound address and port whose listeners serve HTTP. */
export class SocketServer implements BoundServer {
  readonly #address: string;
  readonly #port: number;
  readonly #via: Via;
  readonly #handlers: SocketHandlers;
  readonly #server: Server | TlsServer;
  readonly #binding: Binding;
  readonly #http1: Http1Connections;
  readonly #http2: Http2Connections;
  /** Connections that have not said yet what they speak. */
  readonly #undecided = new Set<Duplex>();
  #default: Certificate | undefined;

  constructor(first: Listener, tls: TlsContexts, { http2, ticketKeys }: ServerSettings, handlers: SocketHandlers) {
    this.#address = first.address;
    this.#port = first.bindPort;
    const isTls = first.protocol === "HTTPS";
    this.#via = { socket: this.#name(), scheme: isTls ? "https" : "http" };
    this.#handlers = handlers;
    const secure = {
      ...HTTP1_OPTIONS,
      ...TLS_OPTIONS,
      handshakeTimeout: HANDSHAKE_MS,
      ALPNProtocols: http2 ? ["h2", "http/1.1"] : ["http/1.1"],
      SNICallback: this.#chooser(tls),
      ...(ticketKeys === undefined ? {} : { ticketKeys }),
    };
    this.#server = isTls ? createTlsServer(secure) : createServer(HTTP1_OPTIONS);
    const connected = isTls ? "secureConnection" : "connection";
    this.#http1 = new Http1Connections(this.#server, connected, this.#via, handlers);
    this.#http2 = new Http2Connections(this.#via, handlers);
    if (isTls)
      this.#server.on("secureConnection", (socket: TLSSocket) =>
        this.#guarded(socket, () => this.#chooseByAlpn(socket)),
      );
    const [handshake] = this.#server.listeners("connection");
    this.#server.removeAllListeners("connection");
    this.#server.on("connection", (socket: Socket) => {
      this.#guarded(socket, () => {
        if (!handlers.admits(socket)) return;
        if (isTls) handshake?.call(this.#server, socket);
        else if (http2) this.#chooseByPreface(socket);
        else this.#http1.take(socket);
      });
    });
    this.#binding = new Binding(overTcp(this.#server, first), first, handlers);
  }

  get protocol(): Listener["protocol"] {
    return this.#via.scheme === "https" ? "HTTPS" : "HTTP";
  }

  listen(): void {
    this.#binding.listen();
  }

  useDefault(certificate: Certificate | undefined): void {
    if (this.#via.scheme !== "https" || certificate === this.#default) return;
    this.#default = certificate;
    const shown = certificate === undefined ? {} : { cert: certificate.chain, key: certificate.key.reveal() };
    (this.#server as TlsServer).setSecureContext({ ...TLS_OPTIONS, ...shown });
  }

  async drain(): Promise<void> {
    this.#binding.stop();
    this.#http1.drain();
    this.#http2.drain();
    // Not the HTTP server's own close: it cuts idle connections at once, on which a request may be on its way.
    const closed = new Promise<void>((resolve) => NetServer.prototype.close.call(this.#server, () => resolve()));
    const grace = setTimeout(() => (sweep = setInterval(() => this.#closeIdle(), IDLE_SWEEP_MS)), IDLE_GRACE_MS);
    let sweep: NodeJS.Timeout | undefined;
    await closed;
    clearTimeout(grace);
    clearInterval(sweep);
    this.#server.close();
  }

  destroy(): void {
    this.#http1.destroy();
    this.#http2.destroy();
    for (const socket of this.#undecided) socket.destroy();
  }

  #closeIdle(): void {
    this.#http1.closeIdle();
    this.#http2.closeIdle();
    for (const socket of this.#undecided) socket.destroy();
  }

  #guarded(socket: Duplex, work: () => void): void {
    guarded(socket, this.#handlers.defect, work);
  }

  #chooseByAlpn(socket: TLSSocket): void {
    if (socket.alpnProtocol === "h2") this.#http2.take(socket);
    else this.#http1.take(socket);
  }

  #chooseByPreface(socket: Socket): void {
    this.#undecided.add(socket);
    socket.once("close", () => this.#undecided.delete(socket));
    const taken = (take: (socket: Duplex) => void) => (decided: Duplex) => {
      this.#undecided.delete(decided);
      this.#guarded(decided, () => take(decided));
    };
    chooseByPreface(socket, HTTP1_OPTIONS.headersTimeout, {
      http1: taken((one) => this.#http1.take(one)),
      http2: taken((one) => this.#http2.take(one)),
    });
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
        const context = tls.select(this.#handlers.listeners(), serverNameFor(serverName));
        if (context === undefined) done(new Error("no listener for this name"));
        else done(null, context);
      } catch (error) {
        this.#handlers.defect(error);
        done(error instanceof Error ? error : new Error(String(error)));
      }
    };
  }
}
