import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import type { Socket } from "node:net";
import type { BackendTls } from "../../routing/backend-tls.ts";
import { connectTls } from "./backend-tls.ts";
import { followSettings } from "./extended-connect.ts";
import { type Connected, connectPlain, endpointOf } from "./connect.ts";
import type { Http2Attempt, StreamOutcome } from "./http2-attempt.ts";

/** Beyond it another connection is opened, so that one that stalls does not stall all. */
export const MOST_STREAMS = 100;
/** Requests given up on one connection before another one is opened; peers take many of them for an attack. */
const MOST_CANCELLED = 100;
const IDLE_MS = 60_000;
const OPTIONS = {
  settings: { enablePush: false, maxHeaderListSize: 64 * 1024, initialWindowSize: 256 * 1024 },
  maxHeaderListPairs: 1000,
  maxSessionMemory: 32,
  strictSingleValueFields: false,
} as const;
const CONNECTION_WINDOW = 1024 * 1024;

/** One HTTP/2 connection to a backend, from its first byte on. */
export class Http2Connection {
  readonly #scheme: "http" | "https";
  readonly #gone: () => void;
  #socket: Socket;
  #session: ClientHttp2Session | undefined;
  #waiting: Http2Attempt[] = [];
  #streams = 0;
  #used = false;
  #cancelled = 0;
  #closing = false;
  #idle: NodeJS.Timeout | undefined;

  /** @param gone  Called when no new request may go to it. */
  constructor(authority: string, tls: BackendTls | undefined, connectTimeoutMs: number, gone: () => void) {
    this.#scheme = tls === undefined ? "http" : "https";
    this.#gone = gone;
    const endpoint = endpointOf(authority);
    const done = (...[error, socket]: Connected): void => {
      if (error === null) this.#open(socket);
      else this.#failed();
    };
    this.#socket =
      tls === undefined
        ? connectPlain(endpoint, connectTimeoutMs, done)
        : connectTls(endpoint, tls, { protocol: "h2", limitMs: connectTimeoutMs }, done);
  }

  get hasRoom(): boolean {
    const most = Math.min(this.#session?.remoteSettings.maxConcurrentStreams ?? MOST_STREAMS, MOST_STREAMS);
    return !this.#closing && this.#streams < most;
  }

  /** Whether a request has been answered on it. */
  get used(): boolean {
    return this.#used;
  }

  send(attempt: Http2Attempt): void {
    this.#streams++;
    clearTimeout(this.#idle);
    if (this.#session === undefined) this.#waiting.push(attempt);
    else attempt.send(this.#session, this.#scheme);
  }

  /** A request on it has ended. */
  release(outcome: StreamOutcome): void {
    if (outcome === "answered") this.#used = true;
    if (outcome === "cancelled") this.#cancelled++;
    // One that says nothing may be dead, and a peer counts resets: whoever else is on it must not pay for that.
    if (outcome === "silent" || this.#cancelled >= MOST_CANCELLED) this.#retire();
    if (--this.#streams > 0) return;
    // One that takes no requests is of no use to the next one either.
    if (this.#closing || !this.hasRoom) this.close();
    else this.#idle = setTimeout(() => this.close(), IDLE_MS);
  }

  /** Takes no new requests; those in flight end. */
  close(): void {
    this.#retire();
    if (this.#session !== undefined) this.#session.close();
    else if (this.#streams === 0) this.#socket.destroy();
  }

  #retire(): void {
    clearTimeout(this.#idle);
    if (this.#closing) return;
    this.#closing = true;
    this.#gone();
  }

  #open(socket: Socket): void {
    const session = connectHttp2(`${this.#scheme}://backend`, { ...OPTIONS, createConnection: () => socket });
    this.#session = session;
    followSettings(session);
    session.on("error", () => this.#retire());
    session.on("goaway", () => this.#retire());
    session.on("close", () => this.#retire());
    session.once("connect", () => session.setLocalWindowSize(CONNECTION_WINDOW));
    for (const attempt of this.#waiting.splice(0)) attempt.send(session, this.#scheme);
    if (this.#closing) session.close();
  }

  #failed(): void {
    this.#retire();
    for (const attempt of this.#waiting.splice(0))
      attempt.fail({ reason: "ConnectFailure", unsent: true, stale: false });
  }
}
