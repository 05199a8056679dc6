import { Client } from "undici";
import { type Endpoint, authorityOf } from "../../routing/endpoints.ts";

/** Below the idle limits that backends commonly have, so that we rarely send on a connection that is being closed. */
const KEEP_ALIVE_MS = 4000;
const MAX_IDLE = 64;
const AVOID_MS = 1000;
const MAX_RESPONSE_HEADERS = 64 * 1024;

export interface Lease {
  readonly client: Client;
  /** The connection has served before, so a reset may be the backend's idle limit and nothing worse. */
  readonly reused: boolean;
}

/**
 * Connections to one endpoint, one request at a time on each. undici's client destroys a connection on any byte that
 * nobody asked for, which http.Agent does not (response poisoning).
 */
export class EndpointPool {
  readonly endpoint: Endpoint;
  readonly #origin: string;
  readonly #connectTimeoutMs: number;
  readonly #idle: Client[] = [];
  readonly #used = new WeakSet<Client>();
  #active = 0;
  #avoidUntil = 0;
  #closed = false;

  constructor(endpoint: Endpoint, connectTimeoutMs: number) {
    this.endpoint = endpoint;
    this.#origin = `http://${authorityOf(endpoint)}`;
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  /** Requests in flight. */
  get active(): number {
    return this.#active;
  }

  /** Others are preferred for a second: an endpoint that refuses is the least busy one, and would draw all tries. */
  connectFailed(nowMs: number): void {
    this.#avoidUntil = nowMs + AVOID_MS;
  }

  isAvoided(nowMs: number): boolean {
    return nowMs < this.#avoidUntil;
  }

  lease(): Lease {
    this.#active++;
    const client = this.#idle.pop() ?? this.#connect();
    return { client, reused: this.#used.has(client) };
  }

  /** @param reusable  Whether the connection ended its request in order. */
  release({ client }: Lease, reusable: boolean): void {
    this.#active--;
    this.#used.add(client);
    if (!reusable || this.#closed || client.destroyed || this.#idle.length >= MAX_IDLE) void client.destroy();
    else this.#idle.push(client);
  }

  /** Lets requests in flight end and closes the rest. */
  close(): void {
    this.#closed = true;
    for (const client of this.#idle.splice(0)) void client.destroy();
  }

  #connect(): Client {
    const client = new Client(this.#origin, {
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS * 10,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: MAX_RESPONSE_HEADERS,
      connect: { timeout: this.#connectTimeoutMs, noDelay: true },
    });
    client.on("disconnect", () => {
      const at = this.#idle.indexOf(client);
      if (at < 0) return;
      this.#idle.splice(at, 1);
      void client.destroy();
    });
    return client;
  }
}
