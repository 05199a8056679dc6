import type { BackendTls } from "../../routing/backend-tls.ts";
import type { AnswerSink, Attempt, BackendCall, EndpointPool } from "./attempt.ts";
import { Http2Attempt } from "./http2-attempt.ts";
import { Http2Connection } from "./http2-connection.ts";

/** HTTP/2 connections to one endpoint: many requests at a time on each, a second one only when the first is full. */
export class Http2Pool implements EndpointPool {
  readonly authority: string;
  readonly #tls: BackendTls | undefined;
  readonly #connections = new Set<Http2Connection>();
  #active = 0;

  constructor(authority: string, tls: BackendTls | undefined) {
    this.authority = authority;
    this.#tls = tls;
  }

  get active(): number {
    return this.#active;
  }

  send(call: BackendCall, sink: AnswerSink, connectTimeoutMs: number, ended: () => void): Attempt {
    this.#active++;
    const connection = this.#withRoom(connectTimeoutMs);
    const attempt = new Http2Attempt(call, sink, connection.used, (outcome) => {
      this.#active--;
      connection.release(outcome);
      ended();
    });
    connection.send(attempt);
    return attempt;
  }

  close(): void {
    for (const connection of [...this.#connections]) connection.close();
  }

  #withRoom(connectTimeoutMs: number): Http2Connection {
    for (const connection of this.#connections) if (connection.hasRoom) return connection;
    const connection: Http2Connection = new Http2Connection(this.authority, this.#tls, connectTimeoutMs, () =>
      this.#connections.delete(connection),
    );
    this.#connections.add(connection);
    return connection;
  }
}
