import type { IncomingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";
import type { ClusterRef, HeaderChanges, ReasonWord, RouteRule, WeightedBackend } from "../routing/rule.ts";
import { isAccepted } from "./accept-key.ts";
import { sendFailure } from "./answer.ts";
import { backendCall, backendPath } from "./backend-call.ts";
import type { Upgrade } from "./downstream/downstream.ts";
import type { AnswerSink, Attempt, AttemptFailure } from "./upstream/attempt.ts";
import type { Place } from "./upstream/circuit-breaker.ts";
import type { Cluster } from "./upstream/cluster.ts";
import type { Host } from "./upstream/host.ts";
import { extraHeaders } from "./extra-headers.ts";
import type { Forwarding } from "./forwarding.ts";
import type { GatewayContext } from "./gateway-context.ts";
import { GrpcWebBridge } from "./grpc-web.ts";
import { isGrpc } from "./grpc-status.ts";
import { BODYLESS, clientHeaders, passedTrailers, withTrueLength } from "./headers.ts";
import { chooseReceiver } from "./receiver.ts";
import { sendMirrors } from "./mirror.ts";
import { RequestBody } from "./request-body.ts";
import { Retries } from "./retries.ts";
import type { TryTrace } from "./request-record.ts";
import { TimeLimits } from "./time-limits.ts";
import { tunnel } from "./tunnel.ts";

const OF_CLIENT: ReadonlySet<ReasonWord> = new Set(["BodyTooLarge", "IdleTimeout", "BadRequest"]);
const SAFE = new Set(["GET", "HEAD", "OPTIONS"]);

/** One request on its way to a backend and back: tries, time limits, streaming. */
export class Exchange {
  readonly #context: GatewayContext;
  readonly #parts: Forwarding;
  readonly #rule: RouteRule;
  readonly #body: RequestBody | undefined;
  readonly #limits = new TimeLimits();
  readonly #retries: Retries;
  readonly #tried = new Set<string>();
  #backend: WeightedBackend | undefined;
  #cluster: Cluster | undefined;
  #target: ClusterRef | undefined;
  #web: GrpcWebBridge | undefined;
  #place: Place | undefined;
  #attempt: Attempt | undefined;
  #path: ReturnType<typeof backendPath> | undefined;
  #started = false;
  #done = false;
  #isBodyless = false;
  #switched = false;

  constructor(context: GatewayContext, parts: Forwarding) {
    this.#context = context;
    this.#parts = parts;
    this.#rule = parts.entry.rule;
    this.#retries = new Retries(this.#rule.policy.retry, context.random);
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
    const receiver = chooseReceiver(this.#context, action);
    this.#backend = receiver.backend;
    if (receiver.kind === "none") return this.#fail(receiver.reason);
    const { backend, target, cluster } = receiver;
    this.#target = target;
    this.#cluster = cluster;
    // Only a server of gRPC's own protocol needs a bridge; others may speak gRPC-Web themselves.
    this.#web = target.http === "2" ? GrpcWebBridge.of(this.#parts.request) : undefined;
    const place = cluster.enter(() => this.#guard(() => this.#try()));
    if (place === undefined) return this.#fail("CircuitOpen");
    this.#place = place;
    downstream.onGone(() => {
      this.#limits.clearAll();
      this.#clientGone();
    });
    downstream.onDrain(() => {
      // A reader that is slow is not silent.
      this.#limits.refreshIdle();
      this.#attempt?.resume();
    });
    downstream.onMalformed(() => this.#giveUp("BadRequest"));
    this.#armTimers();
    this.#guard(() => {
      if (place.mayStart) this.#try();
      sendMirrors(this.#context, this.#parts, [...this.#rule.filters.mirrors, ...backend.filters.mirrors], this.#body);
    });
  }

  /** What we throw ourselves costs this request, and neither its place at the backend nor who has made room for it. */
  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#context.observe.defect(error);
      if (!this.#done) this.#giveUp("InternalError");
    }
  }

  #armTimers(): void {
    const { requestTimeoutMs, idleTimeoutMs } = this.#rule.policy;
    this.#limits.set("idle", idleTimeoutMs, () => this.#giveUp("IdleTimeout"));
    const arm = (): void => {
      if (!this.#done) this.#limits.set("request", requestTimeoutMs, () => this.#giveUp("RequestTimeout"));
    };
    const { downstream } = this.#parts;
    if (this.#body === undefined || downstream.complete) arm();
    else downstream.body.once("end", arm);
  }

  #giveUp(reason: ReasonWord): void {
    // The answer has been handed over, but its client does not take it, or has not sent what it is for.
    if (this.#done) return this.#parts.downstream.cut();
    this.#attempt?.abandon(reason);
    this.#fail(reason);
  }

  #try(): void {
    const { policy } = this.#rule;
    const target = this.#target;
    if (target === undefined || this.#done) return;
    const endpoints = this.#context.table.endpoints.get(target.endpoints);
    const host = this.#cluster?.pick(endpoints, this.#tried);
    if (host === undefined)
      return this.#fail((endpoints?.usable.length ?? 0) === 0 ? "NoEndpoints" : "NoHealthyEndpoints");
    const sent = (this.#path ??= backendPath(this.#parts, this.#backend));
    if (typeof sent === "string") return this.#fail(sent);
    this.#tried.add(host.pool.authority);
    const { record } = this.#parts;
    record.tries++;
    record.backend = target.endpoints;
    record.endpoint = host.pool.authority;
    const trace = record.trace?.tried(record);
    const call = backendCall(this.#parts, {
      path: sent.path,
      backend: this.#backend,
      http: target.http,
      web: this.#web,
      body: this.#body,
      trace,
      allowsTrailer: (name) => this.#context.options.underscores === "allow" || !name.includes("_"),
    });
    const ended = (): void => this.#limits.clear("try");
    this.#limits.set("try", policy.backendTimeoutMs, () => this.#attempt?.abandon("BackendTimeout"));
    this.#attempt = host.pool.send(call, this.#sink(host, trace), policy.connectTimeoutMs, ended);
  }

  #sink(host: Host, trace: TryTrace | undefined): AnswerSink {
    const { downstream } = this.#parts;
    let judged = false;
    let bridge: GrpcWebBridge | undefined;
    return {
      start: (status, headers, follows) => {
        if (status >= 500) this.#cluster?.failed(host, false);
        else this.#cluster?.succeeded(host);
        judged = true;
        trace?.ended(status);
        if (this.#rule.policy.retry.codes.includes(status) && this.#mayRetry()) {
          this.#attempt?.abandon("Reset");
          return;
        }
        // Where success accepts a protocol, no other success can be passed on.
        if (downstream.upgrade?.acceptedBy === 200 && status < 300) return this.#attempt?.abandon("BadResponse");
        this.#started = true;
        this.#parts.record.trace?.answering();
        // An answer that is none of gRPC's, of a proxy on the way for example, is passed on as it is.
        bridge = this.#web?.takes(headers) === true ? this.#web : undefined;
        this.#isBodyless = BODYLESS.has(status);
        const sent = this.#answerHeaders(withTrueLength(status, bridge?.answerHeaders(headers) ?? headers));
        if (this.#isBodyless) downstream.begin(status, sent, "nothing");
        else downstream.begin(status, sent, bridge === undefined || follows === "nothing" ? follows : "body");
      },
      data: (chunk) => {
        this.#limits.refreshIdle();
        return !this.#started || this.#isBodyless || this.#write(bridge?.data(chunk) ?? chunk);
      },
      end: (trailers) => {
        const passed = passedTrailers(trailers, this.#answerChanges());
        if (bridge !== undefined && passed.length > 0) this.#write(bridge.trailers(passed));
        downstream.end(bridge === undefined ? passed : []);
        this.#finish();
      },
      upgraded: (headers, socket) => {
        const { upgrade } = downstream;
        const isAgreed = isAccepted(upgrade, headers);
        trace?.ended(isAgreed ? 101 : "BadResponse");
        if (isAgreed) {
          this.#cluster?.succeeded(host);
          return this.#switch(upgrade, headers, socket);
        }
        this.#cluster?.failed(host, false);
        socket.destroy();
        this.#fail("BadResponse");
      },
      failed: (failure) => {
        trace?.ended(failure.reason);
        if (!judged && !this.#done && this.#isOfEndpoint(failure)) this.#cluster?.failed(host, failure.unsent);
        this.#attemptFailed(failure);
      },
    };
  }

  #write(chunk: Buffer): boolean {
    this.#parts.record.bytesOut += chunk.length;
    return this.#parts.downstream.write(chunk);
  }

  #answerHeaders(headers: IncomingHttpHeaders): string[] {
    const { request } = this.#parts;
    const extra = extraHeaders(this.#context.options, request, this.#rule);
    return clientHeaders(headers, this.#answerChanges(), extra);
  }

  #answerChanges(): readonly (HeaderChanges | undefined)[] {
    return [this.#backend?.filters.responseHeaders, this.#rule.filters.responseHeaders];
  }

  #switch(upgrade: Upgrade, headers: IncomingHttpHeaders, backend: Duplex): void {
    this.#started = true;
    this.#switched = true;
    this.#limits.clearAll();
    const client = upgrade.accept(this.#answerHeaders(headers));
    tunnel(client, backend, this.#rule.policy.idleTimeoutMs, () => this.#finish());
  }

  /** A client that goes away, sends too much or nonsense, or takes its time with it, says nothing of the endpoint. */
  #isOfEndpoint({ reason, unsent }: AttemptFailure): boolean {
    if (unsent) return true;
    if (OF_CLIENT.has(reason)) return false;
    return reason !== "BackendTimeout" || this.#body === undefined || this.#parts.downstream.complete;
  }

  #attemptFailed(failure: AttemptFailure): void {
    if (this.#done) return;
    const staleConnection = failure.stale && this.#body === undefined && SAFE.has(this.#parts.request.method);
    const { connectFailureOnly } = this.#rule.policy.retry;
    const eligible =
      failure.unsent ||
      staleConnection ||
      (!connectFailureOnly && ["Reset", "BackendTimeout"].includes(failure.reason));
    if (this.#started || !eligible || !this.#mayRetry(failure.unsent)) return this.#fail(failure.reason);
    this.#retry();
  }

  #mayRetry(unsent = false): boolean {
    if (this.#started || this.#body?.replayable === false) return false;
    return this.#retries.allows(this.#cluster, unsent);
  }

  #retry(): void {
    this.#body?.giveUp();
    this.#context.observe.retry();
    setTimeout(() => this.#guard(() => this.#try()), this.#retries.next());
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
    this.#limits.clear("request");
    this.#limits.clear("try");
    this.#retries.end();
    this.#place?.leave();
    // An answer may come before the request's body has.
    const { downstream } = this.#parts;
    if (this.#body !== undefined && !downstream.complete) downstream.dropBody(this.#body.discard());
  }
}
