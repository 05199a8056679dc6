import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer as OtelTracer,
  trace,
} from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import type { Tracing } from "../telemetry/tracing.ts";
import { displayName } from "../api/keys.ts";
import type { GatewayRequest } from "../proxy/gateway-request.ts";
import type { RequestRecord, RequestTrace, Tracer, TryTrace } from "../proxy/request-record.ts";
import { endpointOf } from "../proxy/upstream/connect.ts";

const propagator = new W3CTraceContextPropagator();
const getter = {
  get: (request: GatewayRequest, name: string): string | undefined => request.header(name),
  keys: (request: GatewayRequest): string[] => [...request.headers.keys()],
};
const setter = { set: (into: [string, string][], name: string, value: string): void => void into.push([name, value]) };

/** Methods that have names of their own; any other would make names without end. */
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]);

/** @source OpenTelemetry semantic conventions for HTTP; queries are left out, because they may hold credentials. */
function requestAttributes(request: GatewayRequest, { downstream }: RequestRecord): Attributes {
  const method = METHODS.has(request.method) ? request.method : "_OTHER";
  const userAgent = request.header("user-agent");
  return {
    "http.request.method": method,
    ...(method === request.method ? {} : { "http.request.method_original": request.method }),
    "url.scheme": downstream.via.scheme,
    "url.path": request.path,
    "server.address": request.host,
    "network.protocol.version": downstream.head.version === "2.0" ? "2" : downstream.head.version,
    "network.peer.address": downstream.peer,
    ...(userAgent === undefined ? {} : { "user_agent.original": userAgent }),
  };
}

/**
 * Milliseconds since 1970, with fractions, for all spans of one request. The library reads the wall clock for each span,
 * in whole milliseconds, and so would have a try end after the request that it is part of.
 */
function requestClock(): () => number {
  const zero = Date.now() - performance.now();
  return () => zero + performance.now();
}

/** Ends a span as the conventions say: an error has a type, which is a status or a reason word. */
function end(span: Span, at: number, status: number, error: string | undefined): void {
  if (status > 0) span.setAttribute("http.response.status_code", status);
  if (error !== undefined) span.setAttribute("error.type", error).setStatus({ code: SpanStatusCode.ERROR });
  span.end(at);
}

class OneRequest implements RequestTrace {
  readonly #tracer: OtelTracer;
  readonly #method: string;
  readonly #span: Span;
  readonly #context: Context;
  readonly #decision: Span;
  readonly #now = requestClock();
  #tries = 0;
  #lastTry: TryTrace | undefined;
  #response: Span | undefined;

  constructor(tracer: OtelTracer, request: GatewayRequest, record: RequestRecord) {
    this.#tracer = tracer;
    const attributes = requestAttributes(request, record);
    const parent = propagator.extract(ROOT_CONTEXT, request, getter);
    this.#method = String(attributes["http.request.method"]);
    this.#span = tracer.startSpan(this.#method, { kind: SpanKind.SERVER, attributes, startTime: this.#now() }, parent);
    this.#context = trace.setSpan(ROOT_CONTEXT, this.#span);
    this.#decision = tracer.startSpan("decision", { startTime: this.#now() }, this.#context);
  }

  get traceId(): string {
    return this.#span.spanContext().traceId;
  }

  decided({ rule }: RequestRecord): void {
    if (rule !== undefined) {
      const route = displayName(rule.route);
      const said = { "serviceroute.route": route, "serviceroute.rule": rule.name };
      this.#decision.setAttributes(said);
      this.#span.setAttributes(said);
    }
    this.#decision.end(this.#now());
  }

  tried({ endpoint = "", backend }: RequestRecord): TryTrace {
    const { host, port } = endpointOf(endpoint);
    const resent = this.#tries++;
    const attributes = {
      "server.address": host,
      "server.port": port,
      ...(backend === undefined ? {} : { "serviceroute.backend": backend }),
      ...(resent === 0 ? {} : { "http.request.resend_count": resent }),
    };
    const options = { kind: SpanKind.CLIENT, attributes, startTime: this.#now() };
    const span = this.#tracer.startSpan("try", options, this.#context);
    const headers: [string, string][] = [];
    propagator.inject(trace.setSpan(ROOT_CONTEXT, span), headers, setter);
    let isOver = false;
    const attempt: TryTrace = {
      headers,
      ended: (outcome) => {
        if (isOver) return;
        isOver = true;
        if (typeof outcome === "string") return end(span, this.#now(), 0, outcome);
        end(span, this.#now(), outcome, outcome >= 400 ? String(outcome) : undefined);
      },
    };
    this.#lastTry = attempt;
    return attempt;
  }

  answering(): void {
    this.#response ??= this.#tracer.startSpan("response", { startTime: this.#now() }, this.#context);
  }

  ended({ rule, reason, client, downstream: { status } }: RequestRecord): void {
    // One that came to no rule, or to none in time.
    if (this.#decision.isRecording()) this.#decision.end(this.#now());
    this.#lastTry?.ended("ClientGone");
    this.#response?.end(this.#now());
    if (client !== undefined) this.#span.setAttribute("client.address", client);
    // Of low cardinality, as names of spans have to be: from manifests, not from clients.
    if (rule !== undefined) this.#span.updateName(`${this.#method} ${displayName(rule.route)}/${rule.name}`);
    const error = status === 0 ? "ClientGone" : status >= 500 ? (reason ?? String(status)) : undefined;
    end(this.#span, this.#now(), status, error);
  }
}

/** Follows requests for OpenTelemetry. */
export const gatewayTracer = ({ tracer }: Tracing): Tracer => ({
  start: (request, record) => new OneRequest(tracer, request, record),
});
