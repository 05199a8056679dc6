import type { IncomingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";
import { chooseBackend } from "../routing/backend-choice.ts";
import { PatternLimit } from "../routing/pattern-budget.ts";
import { changedPath } from "../routing/rewrite.ts";
import type { ClusterRef, ReasonWord, Rewrite, RouteRule, WeightedBackend } from "../routing/rule.ts";
import { sendFailure } from "./answer.ts";
import type { AnswerSink, Attempt, AttemptFailure, BackendCall } from "./upstream/attempt.ts";
import type { Place } from "./upstream/circuit-breaker.ts";
import type { Cluster } from "./upstream/cluster.ts";
import type { Host } from "./upstream/host.ts";
import { extraHeaders } from "./extra-headers.ts";
import type { Forwarding } from "./forwarding.ts";
import type { GatewayContext } from "./gateway-context.ts";
import { isGrpc } from "./grpc-status.ts";
import { backendHeaders, clientHeaders } from "./headers.ts";
import { sendMirrors } from "./mirror.ts";
import { RequestBody } from "./request-body.ts";
import { TimeLimits } from "./time-limits.ts";
import { tunnel } from "./tunnel.ts";

const MAX_BACKOFF_FACTOR = 10;
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS"]);

/** One request on its way to a backend and back: tries, time limits, streaming. */
export class Exchange {
  readonly #context: GatewayContext;
  readonly #parts: Forwarding;
  readonly #rule: RouteRule;
  readonly #body: RequestBody | undefined;
  readonly #limits = new TimeLimits();
  readonly #tried = new Set<string>();
  #backend: WeightedBackend | undefined;
  #cluster: Cluster | undefined;
  #target: ClusterRef | undefined;
  #place: Place | undefined;
  #attempt: Attempt | undefined;
  /** The path for the backend: made once, however often it is sent. */
  #rewritten: string | undefined;
  #retries = 0;
  #holdsRetry = false;
  #started = false;
  #done = false;
  #switched = false;

  constructor(context: GatewayContext, parts: Forwarding) {
    this.#context = context;
    this.#parts = parts;
    this.#rule = parts.entry.rule;
    const { downstream } = parts;
    this.#body = downstream.hasBody
      ? new RequestBody(downstream.body, this.#rule.policy.maxRequestBody, (size) => {
          parts.record.bytesIn += size;
          this.#limits.refreshIdle();
        })
      : undefined;
  }

  /** Ends when the answer has been handed over, one way or the other. */
  start(): void {
    const { downstream } = this.#parts;
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
    const place = this.#enter(choice.backend.target, action.fallback);
    if (place === undefined) return this.#fail("CircuitOpen");
    downstream.onGone(() => this.#clientGone());
    downstream.onDrain(() => this.#attempt?.resume());
    this.#armTimers();
    if (place.mayStart) this.#try();
    sendMirrors(
      this.#context,
      this.#parts,
      [...this.#rule.filters.mirrors, ...this.#backend.filters.mirrors],
      this.#body,
    );
  }

  /** The place of this request at its backend, or at the fallback when no endpoint of the backend can be asked. */
  #enter(target: ClusterRef, fallback: WeightedBackend | undefined): Place | undefined {
    const { clusters, table } = this.#context;
    this.#target = target;
    this.#cluster = clusters.get(target);
    if (fallback?.target.kind === "cluster" && !this.#cluster.hasHealthy(table.endpoints.get(target.endpoints))) {
      this.#backend = fallback;
      this.#target = fallback.target;
      this.#cluster = clusters.get(fallback.target);
    }
    return (this.#place = this.#cluster.enter(() => {
      if (!this.#done) this.#try();
    }));
  }

  #armTimers(): void {
    const { requestTimeoutMs, idleTimeoutMs } = this.#rule.policy;
    this.#limits.set("idle", idleTimeoutMs, () => this.#timeUp("IdleTimeout"));
    const arm = (): void => {
      if (!this.#done) this.#limits.set("request", requestTimeoutMs, () => this.#timeUp("RequestTimeout"));
    };
    const { downstream } = this.#parts;
    if (this.#body === undefined || downstream.complete) arm();
    else downstream.body.once("end", arm);
  }

  #timeUp(reason: ReasonWord): void {
    this.#attempt?.abandon(reason);
    this.#fail(reason);
  }

  #try(): void {
    const { policy } = this.#rule;
    const target = this.#target;
    if (target === undefined) return;
    const endpoints = this.#context.table.endpoints.get(target.endpoints);
    const host = this.#cluster?.pick(endpoints, this.#tried);
    if (host === undefined)
      return this.#fail((endpoints?.usable.length ?? 0) === 0 ? "NoEndpoints" : "NoHealthyEndpoints");
    const call = this.#call(target);
    if (typeof call === "string") return this.#fail(call);
    this.#tried.add(host.pool.authority);
    const { record } = this.#parts;
    record.tries++;
    record.backend = target.endpoints;
    record.endpoint = host.pool.authority;
    const ended = (): void => this.#limits.clear("try");
    this.#limits.set("try", policy.backendTimeoutMs, () => this.#attempt?.abandon("BackendTimeout"));
    this.#attempt = host.pool.send(call, this.#sink(host), policy.connectTimeoutMs, ended);
  }

  /** The path as the backend gets it; undefined when a rewrite leads to none. */
  #path(rewrites: readonly Rewrite[]): string | undefined {
    const { request, entry } = this.#parts;
    const change = rewrites.findLast((rewrite) => rewrite.path !== undefined)?.path;
    return change === undefined ? request.path : changedPath(request.path, change, entry.match.path, request.patterns);
  }

  /** The request as the backend gets it, or why there is none. */
  #call({ http }: ClusterRef): BackendCall | "InvalidRule" | "PatternLimit" {
    const { request, facts, downstream } = this.#parts;
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
    // gRPC servers refuse clients that do not say so.
    if (http === "2" && /\btrailers\b/i.test(request.header("te") ?? "")) headers.push("te", "trailers");
    return {
      method: request.method,
      path: `${path}${request.search}`,
      headers,
      body: this.#body === undefined ? null : (this.#body.whole ?? this.#body.read()),
      trailers: () => downstream.trailers,
      upgrade: downstream.upgrade?.protocol,
    };
  }

  #sink(host: Host): AnswerSink {
    const { downstream } = this.#parts;
    let judged = false;
    return {
      start: (status, headers, follows) => {
        if (status >= 500) this.#cluster?.failed(host, false);
        else this.#cluster?.succeeded(host);
        judged = true;
        if (this.#rule.policy.retry.codes.includes(status) && this.#mayRetry()) {
          this.#attempt?.abandon("Reset");
          return;
        }
        this.#started = true;
        downstream.begin(status, this.#answerHeaders(headers), follows);
      },
      data: (chunk) => {
        this.#limits.refreshIdle();
        if (this.#started) this.#parts.record.bytesOut += chunk.length;
        return !this.#started || downstream.write(chunk);
      },
      end: (trailers) => {
        downstream.end(trailers);
        this.#finish();
      },
      upgraded: (headers, socket) => {
        this.#cluster?.succeeded(host);
        this.#switch(headers, socket);
      },
      failed: (failure) => {
        // A client that goes away, or sends too much, says nothing of the endpoint.
        if (!judged && !this.#done && failure.reason !== "BodyTooLarge") this.#cluster?.failed(host, failure.unsent);
        this.#attemptFailed(failure);
      },
    };
  }

  #answerHeaders(headers: IncomingHttpHeaders): string[] {
    const { request } = this.#parts;
    const extra = extraHeaders(this.#context.options, request, this.#rule);
    const changes = [this.#backend?.filters.responseHeaders, this.#rule.filters.responseHeaders];
    return clientHeaders(headers, changes, extra);
  }

  #switch(headers: IncomingHttpHeaders, backend: Duplex): void {
    const { upgrade } = this.#parts.downstream;
    if (upgrade === undefined) {
      backend.destroy();
      return this.#fail("BadResponse");
    }
    this.#started = true;
    this.#switched = true;
    this.#limits.clearAll();
    const client = upgrade.accept(this.#answerHeaders(headers));
    tunnel(client, backend, this.#rule.policy.idleTimeoutMs, () => this.#finish());
  }

  #attemptFailed(failure: AttemptFailure): void {
    if (this.#done) return;
    const staleConnection = failure.stale && this.#body === undefined && IDEMPOTENT.has(this.#parts.request.method);
    const { connectFailureOnly } = this.#rule.policy.retry;
    const eligible =
      failure.unsent ||
      staleConnection ||
      (!connectFailureOnly && ["Reset", "BackendTimeout"].includes(failure.reason));
    if (this.#started || !eligible || !this.#mayRetry(failure.unsent)) return this.#fail(failure.reason);
    this.#retry();
  }

  /** A try of which nothing was sent has loaded no backend, so that its repetition costs no budget. */
  #mayRetry(unsent = false): boolean {
    const { retry } = this.#rule.policy;
    if (this.#started || this.#retries >= retry.attempts || this.#body?.replayable === false) return false;
    if (this.#holdsRetry || unsent) return true;
    this.#holdsRetry = this.#cluster?.beginRetry(retry) ?? false;
    return this.#holdsRetry;
  }

  #retry(): void {
    const { backoffMs, connectFailureOnly } = this.#rule.policy.retry;
    const wait = connectFailureOnly
      ? 0
      : Math.min(backoffMs * 2 ** this.#retries, backoffMs * MAX_BACKOFF_FACTOR) * (0.5 + this.#context.random() / 2);
    this.#retries++;
    this.#context.observe.retry();
    setTimeout(() => {
      if (!this.#done) this.#try();
    }, wait);
  }

  #fail(reason: ReasonWord): void {
    if (this.#done) return;
    const { downstream, request, record } = this.#parts;
    record.reason = reason;
    this.#context.observe.failure(reason);
    sendFailure(
      downstream,
      { reason },
      {
        showReason: this.#context.options.showReason,
        grpc: isGrpc(request),
        decorate: (own) => this.#answerHeaders(own),
      },
    );
    this.#finish();
  }

  #clientGone(): void {
    if (this.#done || this.#switched) return;
    // Over before the attempt ends: nobody is there for a retry, and nothing has failed.
    this.#finish();
    this.#attempt?.abandon("Reset");
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#limits.clearAll();
    if (this.#holdsRetry) this.#cluster?.endRetry();
    this.#place?.leave();
    // An answer may come before the request's body has.
    const { downstream } = this.#parts;
    if (this.#body !== undefined && !downstream.complete) downstream.dropBody(this.#body.discard());
  }
}
