import { Client } from "undici";
import type { BackendTls } from "../../routing/backend-tls.ts";
import type { AnswerSink, Attempt, BackendCall, EndpointPool } from "./attempt.ts";
import { connectTls } from "./backend-tls.ts";
import { type Connected, connectPlain, endpointOf } from "./connect.ts";
import { Http1Attempt } from "./http1-attempt.ts";

/** Below the idle limits that backends commonly have, so that we rarely send on a connection that is being closed. */
const KEEP_ALIVE_MS = 4000;
const MAX_IDLE = 64;
const MAX_RESPONSE_HEADERS = 64 * 1024;

/**
 * HTTP/1.1 connections to one endpoint, one request at a time on each. undici's client destroys a connection on any
 * byte that nobody asked for, which http.Agent does not (response poisoning).
 */
export class Http1Pool implements EndpointPool {
  readonly authority: string;
  readonly #tls: BackendTls | undefined;
  readonly #idle: Client[] = [];
  readonly #used = new WeakSet<Client>();
  #active = 0;
  #closed = false;

  constructor(authority: string, tls: BackendTls | undefined) {
    this.authority = authority;
    this.#tls = tls;
  }

  get active(): number {
    return this.#active;
  }

  send(call: BackendCall, sink: AnswerSink, connectTimeoutMs: number, ended: () => void): Attempt {
    this.#active++;
    const client = this.#idle.pop() ?? this.#connect(connectTimeoutMs);
    const attempt = new Http1Attempt(sink, this.#used.has(client), (reusable) => {
      this.#active--;
      this.#release(client, reusable);
      ended();
    });
    attempt.send(client, call);
    return attempt;
  }

  close(): void {
    this.#closed = true;
    for (const client of this.#idle.splice(0)) void client.destroy();
  }

  /** @param reusable  Whether the connection ended its request in order. */
  #release(client: Client, reusable: boolean): void {
    this.#used.add(client);
    if (!reusable || this.#closed || client.destroyed || this.#idle.length >= MAX_IDLE) void client.destroy();
    else this.#idle.push(client);
  }

  #connect(connectTimeoutMs: number): Client {
    const tls = this.#tls;
    const endpoint = endpointOf(this.authority);
    // Under https undici would take SNI from the request's Host, which a client chooses.
    const client = new Client(`http://${this.authority}`, {
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS * 10,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: MAX_RESPONSE_HEADERS,
      connect: (_options, done) => {
        const connected = (...[error, socket]: Connected): void => {
          if (error === null) done(null, socket);
          else done(error, null);
        };
        if (tls === undefined) connectPlain(endpoint, connectTimeoutMs, connected);
        else connectTls(endpoint, tls, { protocol: "http/1.1", limitMs: connectTimeoutMs }, connected);
      },
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
