import type { EventEmitter } from "node:events";
import type { Server } from "node:net";
import type { SharedPorts, SocketHandlers } from "./bound-server.ts";
import type { ListenerState } from "../../routing/programmed.ts";
import { type Listener, socketOf } from "../../routing/listener.ts";

const BACKLOG = 4096;
const BIND_RETRY_MS = 2000;

/** What can be bound: tells of `listening`, and of every `error` that it meets. */
interface Bindable {
  readonly events: EventEmitter;
  /** @param shared  With other processes, among which the system divides what arrives. */
  readonly bind: (shared: boolean) => void;
  readonly isBound: () => boolean;
}

export const overTcp = (server: Server, { address, bindPort }: Listener): Bindable => ({
  events: server,
  bind: (shared) => void server.listen({ host: address, port: bindPort, backlog: BACKLOG, reusePort: shared }),
  isBound: () => server.listening,
});

/** Binds a server to the address and port of a listener, and tells what became of it. */
export class Binding {
  readonly #bindable: Bindable;
  readonly #listener: Listener;
  readonly #changed: (state: ListenerState) => void;
  readonly #ports: SharedPorts | undefined;
  #retry: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(bindable: Bindable, listener: Listener, { changed, ports }: Pick<SocketHandlers, "changed" | "ports">) {
    this.#bindable = bindable;
    this.#listener = listener;
    this.#changed = changed;
    this.#ports = ports;
    bindable.events.on("listening", () => changed({ kind: "serving" }));
    bindable.events.on("error", (error: NodeJS.ErrnoException) => {
      // Once it listens, an error is of one client that could not be served.
      if (!bindable.isBound()) this.#failed(error.code ?? error.message);
    });
  }

  listen(): void {
    const ports = this.#ports;
    if (ports === undefined) return this.#bindable.bind(false);
    const socket = socketOf(this.#listener);
    void ports.claim(socket).then((problem) => {
      if (this.#isStopped) ports.release(socket);
      else if (problem === undefined) this.#bindable.bind(true);
      else this.#failed(problem);
    });
  }

  /** It is not tried again. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#retry);
  }

  /** A port that is taken may become free: it is tried again until the listener goes (F52). */
  #failed(problem: string): void {
    const { address, bindPort } = this.#listener;
    const why =
      problem === "EACCES"
        ? "needs privileges; use a port above 1023"
        : problem === "EADDRINUSE"
          ? "is in use"
          : problem;
    this.#changed({
      kind: "failed",
      reason: "PortUnavailable",
      message: `port ${bindPort} of ${address} cannot be bound: ${why}`,
    });
    if (!this.#isStopped) this.#retry = setTimeout(() => this.listen(), BIND_RETRY_MS);
  }
}
