import type { IncomingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";
import { chooseBackend } from "../routing/backend-choice.ts";
import { authorityOf } from "../routing/endpoints.ts";
import { PatternLimit } from "../routing/pattern-budget.ts";
import { changedPath } from "../routing/rewrite.ts";
import type { ClusterRef, ReasonWord, Rewrite, RouteRule, WeightedBackend } from "../routing/rule.ts";
import { sendFailure } from "./answer.ts";
import { type AnswerSink, Attempt, type AttemptFailure, type BackendCall } from "./upstream/attempt.ts";
import type { Cluster } from "./upstream/cluster.ts";
import type { EndpointPool } from "./upstream/endpoint-pool.ts";
import { corsHeaders } from "./cors.ts";
import type { Forwarding } from "./forwarding.ts";
import type { GatewayContext } from "./gateway-context.ts";
import { backendHeaders, clientHeaders } from "./headers.ts";
import { sendMirrors } from "./mirror.ts";
import { RequestBody } from "./request-body.ts";
import { tunnel } from "./tunnel.ts";

const MAX_BACKOFF_FACTOR = 10;
const NOTHING = Buffer.alloc(0);
/** How long the rest of a body that nobody wants is still read before its connection is cut. */
const LINGER_MS = 5000;
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS"]);

/** One request on its way to a backend and back: tries, time limits, streaming. */
export class Exchange {
  readonly #context: GatewayContext;
  readonly #parts: Forwarding;
  readonly #rule: RouteRule;
  readonly #body: RequestBody | undefined;
  readonly #tried = new Set<string>();
  #backend: WeightedBackend | undefined;
  #cluster: Cluster | undefined;
  #attempt: Attempt | undefined;
  /** The path for the backend: made once, however often it is sent. */
  #rewritten: string | undefined;
  #retries = 0;
  #holdsRetry = false;
  #started = false;
  #done = false;
  #requestTimer: NodeJS.Timeout | undefined;
  #tryTimer: NodeJS.Timeout | undefined;
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(context: GatewayContext, parts: Forwarding) {
    this.#context = context;
    this.#parts = parts;
    this.#rule = parts.entry.rule;
    const { incoming, request } = parts;
    const hasBody =
      parts.upgrade === undefined &&
      (request.headers.has("transfer-encoding") || Number(request.header("content-length") ?? 0) > 0);
    this.#body = hasBody
      ? new RequestBody(incoming, this.#rule.policy.maxRequestBody, () => this.#idleTimer?.refresh())
      : undefined;
  }

  /** Ends when the answer has been handed over, one way or the other. */
  start(): void {
    const { response } = this.#parts;
    const { action } = this.#rule;
    if (action.kind !== "forward") return;
    const choice = chooseBackend(
      action.backends,
      action.redistribute,
      (key) => this.#context.table.endpoints.get(key),
      this.#context.random(),
    );
    if (choice.kind === "none") return this.#fail(choice.reason);
    this.#backend = choice.backend;
    if (choice.backend.target.kind === "invalid") return this.#fail("InvalidBackend");
    this.#cluster = this.#context.clusters.get(choice.backend.target);
    this.#cluster.enter();
    response.on("close", () => this.#clientGone());
    this.#parts.upgrade?.socket.once("end", () => this.#clientGone());
    response.on("drain", () => this.#attempt?.resume());
    this.#armTimers();
    this.#try(choice.backend.target);
    sendMirrors(
      this.#context,
      this.#parts,
      [...this.#rule.filters.mirrors, ...choice.backend.filters.mirrors],
      this.#body,
    );
  }

  #armTimers(): void {
    const { requestTimeoutMs, idleTimeoutMs } = this.#rule.policy;
    if (idleTimeoutMs > 0) this.#idleTimer = setTimeout(() => this.#timeUp("IdleTimeout"), idleTimeoutMs);
    if (requestTimeoutMs === 0) return;
    const arm = (): void =>
      void (this.#requestTimer = setTimeout(() => this.#timeUp("RequestTimeout"), requestTimeoutMs));
    if (this.#body === undefined || this.#parts.incoming.complete) arm();
    else this.#parts.incoming.once("end", arm);
  }

  #timeUp(reason: ReasonWord): void {
    this.#attempt?.abandon(reason);
    this.#fail(reason);
  }

  #try(target: ClusterRef): void {
    const { policy } = this.#rule;
    const pool = this.#cluster?.pick(
      this.#context.table.endpoints.get(target.endpoints),
      this.#tried,
      policy.connectTimeoutMs,
    );
    if (pool === undefined) return this.#fail("NoEndpoints");
    const call = this.#call();
    if (typeof call === "string") return this.#fail(call);
    this.#tried.add(authorityOf(pool.endpoint));
    const lease = pool.lease();
    const attempt = new Attempt(this.#sink(target, pool, lease.reused), (reusable) => {
      clearTimeout(this.#tryTimer);
      pool.release(lease, reusable);
    });
    this.#attempt = attempt;
    if (policy.backendTimeoutMs > 0)
      this.#tryTimer = setTimeout(() => attempt.abandon("BackendTimeout"), policy.backendTimeoutMs);
    attempt.send(lease, call);
  }

  /** The path as the backend gets it; undefined when a rewrite leads to none. */
  #path(rewrites: readonly Rewrite[]): string | undefined {
    const { request, entry } = this.#parts;
    const change = rewrites.findLast((rewrite) => rewrite.path !== undefined)?.path;
    return change === undefined ? request.path : changedPath(request.path, change, entry.match.path, request.patterns);
  }

  /** The request as the backend gets it, or why there is none. */
  #call(): BackendCall | "InvalidRule" | "PatternLimit" {
    const { request, facts, upgrade } = this.#parts;
    const rewrites = [this.#rule.filters.rewrite, this.#backend?.filters.rewrite].filter((r) => r !== undefined);
    try {
      this.#rewritten ??= this.#path(rewrites);
    } catch (error) {
      if (error instanceof PatternLimit) return "PatternLimit";
      throw error;
    }
    const path = this.#rewritten;
    if (path === undefined) return "InvalidRule";
    const host = rewrites.reduce((name: string, rewrite: Rewrite) => rewrite.hostname ?? name, request.authority);
    const headers = backendHeaders(request, facts, host, [
      this.#rule.filters.requestHeaders,
      this.#backend?.filters.requestHeaders,
    ]);
    return {
      method: request.method,
      path: `${path}${request.search}`,
      headers,
      body: this.#body === undefined ? null : (this.#body.whole ?? this.#body.read()),
      upgrade: upgrade?.protocol,
    };
  }

  #sink(target: ClusterRef, pool: EndpointPool, reused: boolean): AnswerSink {
    const { response } = this.#parts;
    return {
      start: (status, headers) => {
        if (this.#rule.policy.retry.codes.includes(status) && this.#mayRetry()) {
          this.#attempt?.abandon("Reset");
          return;
        }
        this.#begin(status, headers);
      },
      data: (chunk) => {
        this.#idleTimer?.refresh();
        return !this.#started || response.write(chunk);
      },
      end: () => {
        response.end();
        this.#finish();
      },
      upgraded: (headers, socket) => this.#switch(headers, socket),
      failed: (failure) => {
        if (failure.unsent) pool.connectFailed(performance.now());
        this.#attemptFailed(target, failure, reused);
      },
    };
  }

  #begin(status: number, headers: IncomingHttpHeaders): void {
    this.#started = true;
    const { response } = this.#parts;
    response.writeHead(status, this.#answerHeaders(headers));
    // Sends the headers now and as Latin-1; flushHeaders would encode them as UTF-8.
    if (this.#parts.request.method !== "HEAD") response.write(NOTHING);
  }

  #answerHeaders(headers: IncomingHttpHeaders): string[] {
    const { request } = this.#parts;
    const { cors, responseHeaders } = this.#rule.filters;
    const extra = cors === undefined ? [] : corsHeaders(cors, request);
    return clientHeaders(headers, [this.#backend?.filters.responseHeaders, responseHeaders], extra);
  }

  #switch(headers: IncomingHttpHeaders, backend: Duplex): void {
    const { upgrade } = this.#parts;
    if (upgrade === undefined) {
      backend.destroy();
      return this.#fail("BadResponse");
    }
    this.#started = true;
    this.#parts.response.statusCode = 101;
    clearTimeout(this.#requestTimer);
    clearTimeout(this.#tryTimer);
    clearTimeout(this.#idleTimer);
    tunnel(upgrade, backend, this.#answerHeaders(headers), this.#rule.policy.idleTimeoutMs, () => this.#finish());
  }

  #attemptFailed(target: ClusterRef, failure: AttemptFailure, reused: boolean): void {
    if (this.#done) return;
    const staleConnection =
      reused && failure.reason === "Reset" && this.#body === undefined && IDEMPOTENT.has(this.#parts.request.method);
    const { connectFailureOnly } = this.#rule.policy.retry;
    const eligible =
      failure.unsent ||
      staleConnection ||
      (!connectFailureOnly && ["Reset", "BackendTimeout"].includes(failure.reason));
    if (this.#started || !eligible || !this.#mayRetry(failure.unsent)) return this.#fail(failure.reason);
    this.#retry(target);
  }

  /** A try of which nothing was sent has loaded no backend, so that its repetition costs no budget. */
  #mayRetry(unsent = false): boolean {
    const { retry } = this.#rule.policy;
    if (this.#started || this.#retries >= retry.attempts || this.#body?.replayable === false) return false;
    if (this.#holdsRetry || unsent) return true;
    this.#holdsRetry = this.#cluster?.beginRetry(retry) ?? false;
    return this.#holdsRetry;
  }

  #retry(target: ClusterRef): void {
    const { backoffMs, connectFailureOnly } = this.#rule.policy.retry;
    const wait = connectFailureOnly
      ? 0
      : Math.min(backoffMs * 2 ** this.#retries, backoffMs * MAX_BACKOFF_FACTOR) * (0.5 + this.#context.random() / 2);
    this.#retries++;
    this.#context.observe.retry();
    setTimeout(() => {
      if (!this.#done) this.#try(target);
    }, wait);
  }

  #fail(reason: ReasonWord): void {
    if (this.#done) return;
    this.#context.observe.failure(this.#parts.response, reason);
    sendFailure(this.#parts.response, { reason }, this.#context.options.showReason, (own) => this.#answerHeaders(own));
    this.#finish();
  }

  #clientGone(): void {
    if (this.#done) return;
    // Over before the attempt ends: nobody is there for a retry, and nothing has failed.
    this.#finish();
    this.#attempt?.abandon("Reset");
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    clearTimeout(this.#requestTimer);
    clearTimeout(this.#tryTimer);
    clearTimeout(this.#idleTimer);
    if (this.#holdsRetry) this.#cluster?.endRetry();
    this.#cluster?.leave();
    this.#linger();
  }

  /** An answer may come before the request's body has: the rest is read and dropped, else the connection would hang. */
  #linger(): void {
    const { incoming } = this.#parts;
    if (this.#body === undefined || incoming.complete || incoming.destroyed) return;
    const cut = setTimeout(() => incoming.socket.destroy(), LINGER_MS);
    void this.#body.discard().finally(() => clearTimeout(cut));
  }
}
