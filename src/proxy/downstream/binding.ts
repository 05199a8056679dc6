import type { Server } from "node:net";
import type { ListenerState } from "../../routing/programmed.ts";
import type { Listener } from "../../routing/listener.ts";

const BACKLOG = 4096;
const BIND_RETRY_MS = 2000;

/** Binds a server to the address and port of a listener, and tells what became of it. */
export class Binding {
  readonly #server: Server;
  readonly #address: string;
  readonly #port: number;
  readonly #changed: (state: ListenerState) => void;
  #retry: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(server: Server, { address, bindPort }: Listener, changed: (state: ListenerState) => void) {
    this.#server = server;
    this.#address = address;
    this.#port = bindPort;
    this.#changed = changed;
    server.on("listening", () => changed({ kind: "serving" }));
    server.on("error", (error: NodeJS.ErrnoException) => {
      // Once it listens, an error is of one connection that could not be taken.
      if (!server.listening) this.#failed(error);
    });
  }

  listen(): void {
    this.#server.listen({ host: this.#address, port: this.#port, backlog: BACKLOG });
  }

  /** It is not tried again. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#retry);
  }

  /** A port that is taken may become free: it is tried again until the listener goes (F52). */
  #failed(error: NodeJS.ErrnoException): void {
    const why =
      error.code === "EACCES"
        ? "needs privileges; use a port above 1023"
        : error.code === "EADDRINUSE"
          ? "is in use"
          : (error.code ?? error.message);
    this.#changed({
      kind: "failed",
      reason: "PortUnavailable",
      message: `port ${this.#port} of ${this.#address} cannot be bound: ${why}`,
    });
    if (!this.#stopped) this.#retry = setTimeout(() => this.listen(), BIND_RETRY_MS);
  }
}
