import { type Server, Socket, createServer } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { listenerFor } from "../../routing/decide.ts";
import { ANY_HOST } from "../../routing/hostname.ts";
import type { Listener } from "../../routing/listener.ts";
import { breakOff } from "../break-off.ts";
import { Binding, overTcp } from "../downstream/binding.ts";
import type { BoundServer, SocketHandlers } from "../downstream/bound-server.ts";
import { guarded } from "../downstream/guarded.ts";
import type { TlsContexts } from "../downstream/tls-contexts.ts";
import type { GatewayContext } from "../gateway-context.ts";
import { nameAskedFor } from "./client-hello.ts";
import { TcpConnection } from "./tcp-connection.ts";

const HELLO_MS = 10_000;

/** One bound address and port whose listeners carry connections: TCP, or TLS told apart by SNI. */
export class TcpServer implements BoundServer {
  readonly protocol: Listener["protocol"];
  readonly #context: GatewayContext;
  readonly #handlers: Omit<SocketHandlers, "arrive">;
  readonly #tls: TlsContexts;
  readonly #server: Server;
  readonly #binding: Binding;
  readonly #open = new Set<Duplex>();

  constructor(first: Listener, tls: TlsContexts, context: GatewayContext, handlers: Omit<SocketHandlers, "arrive">) {
    this.protocol = first.protocol;
    this.#context = context;
    this.#handlers = handlers;
    this.#tls = tls;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) =>
      this.#guarded(socket, () => this.#take(socket)),
    );
    this.#binding = new Binding(overTcp(this.#server, first), first, handlers);
  }

  listen(): void {
    this.#binding.listen();
  }

  useDefault(): void {
    // Who names no server is a client of the listener for every host, if there is one.
  }

  async drain(): Promise<void> {
    this.#binding.stop();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  destroy(): void {
    for (const socket of this.#open) breakOff(socket);
  }

  #guarded(socket: Socket, work: () => void): void {
    guarded(socket, this.#handlers.defect, work);
  }

  #take(socket: Socket): void {
    if (!this.#handlers.admits(socket)) return;
    this.#open.add(socket);
    socket.once("close", () => this.#open.delete(socket));
    socket.on("error", () => socket.destroy());
    if (this.protocol === "TLS") return this.#askForName(socket);
    // One of our own, which leads back here, may have been accepted before we know that it is open.
    setImmediate(() => this.#guarded(socket, () => this.#carry(socket)));
  }

  #carry(socket: Socket): void {
    const [listener] = this.#handlers.listeners();
    if (listener === undefined) socket.destroy();
    else new TcpConnection(this.#context, socket, socket, false).start(listener.id, ANY_HOST);
  }

  /** Reads until the client has said whom it wants; what was read stays on the connection. */
  #askForName(socket: Socket): void {
    let seen: Buffer = Buffer.alloc(0);
    const limit = setTimeout(() => socket.destroy(), HELLO_MS);
    const settle = (): void => {
      clearTimeout(limit);
      socket.off("data", look).off("close", settle).off("end", hangUp);
    };
    const hangUp = (): void => void socket.destroy();
    const look = (chunk: Buffer): void => this.#guarded(socket, () => read(chunk));
    const read = (chunk: Buffer): void => {
      seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
      const asked = nameAskedFor(seen);
      if (asked.kind === "incomplete") return;
      settle();
      socket.pause();
      socket.unshift(seen);
      if (asked.kind === "malformed") socket.destroy();
      else this.#named(socket, asked.kind === "name" ? asked.name : "");
    };
    socket.on("data", look).on("close", settle).on("end", hangUp).resume();
  }

  #named(socket: Socket, name: string): void {
    const listeners = this.#handlers.listeners();
    const listener =
      name === "" ? listeners.find(({ hostname }) => hostname === ANY_HOST) : listenerFor(listeners, name);
    if (listener === undefined) return void socket.destroy();
    if (listener.certificates.length === 0)
      return new TcpConnection(this.#context, socket, socket, true).start(listener.id, name === "" ? ANY_HOST : name);
    const secureContext = this.#tls.select([listener], name);
    if (secureContext === undefined) return void socket.destroy();
    const secure = new TLSSocket(socket, { isServer: true, secureContext, SNICallback: (_name, done) => done(null) });
    const limit = setTimeout(() => socket.destroy(), HELLO_MS);
    secure.on("error", () => socket.destroy());
    secure.once("close", () => clearTimeout(limit));
    secure.once("secure", () => {
      clearTimeout(limit);
      secure.pause();
      const connection = new TcpConnection(this.#context, secure, socket, false);
      this.#guarded(socket, () => connection.start(listener.id, name === "" ? ANY_HOST : name));
    });
  }
}
