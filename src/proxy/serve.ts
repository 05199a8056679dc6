import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { type Decision, decide } from "../routing/decide.ts";
import type { MatchEntry } from "../routing/precedence.ts";
import { PatternLimit } from "../routing/pattern-budget.ts";
import { isPreflight } from "../routing/preflight.ts";
import { redirectLocation } from "../routing/rewrite.ts";
import type { ReasonWord, RouteRule } from "../routing/rule.ts";
import { type Decorate, type Failure, sendFailure } from "./answer.ts";
import { originOf } from "./downstream/client-origin.ts";
import { corsHeaders, preflightHeaders } from "./cors.ts";
import { Exchange } from "./exchange.ts";
import type { Forwarding } from "./forwarding.ts";
import type { GatewayContext, GatewayOptions } from "./gateway-context.ts";
import type { GatewayRequest } from "./gateway-request.ts";
import { type ForwardingFacts, clientHeaders } from "./headers.ts";
import { admit } from "./downstream/request-policy.ts";

const REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/;

export interface Arrival {
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  readonly socket: string;
  readonly scheme: "http" | "https";
  /** The client sends its body only when it is asked to (`Expect: 100-continue`). */
  readonly waits: boolean;
  /** Whether the client wants to ask more on its connection. */
  readonly keepAlive: boolean;
  readonly upgrade?: { readonly socket: Duplex; readonly head: Buffer };
}

function factsOf(
  { incoming, scheme }: Arrival,
  request: GatewayRequest,
  { trustedProxies }: GatewayOptions,
): ForwardingFacts {
  const given = request.header("x-request-id") ?? "";
  const peer = incoming.socket.remoteAddress ?? "";
  const { authority } = request;
  return {
    ...originOf({ peer, scheme, authority, header: (name) => request.header(name) }, trustedProxies),
    requestId: REQUEST_ID.test(given) ? given : randomUUID(),
  };
}

const serverName = ({ incoming }: Arrival): string => {
  const name = (incoming.socket as Partial<TLSSocket>).servername;
  return typeof name === "string" ? name.toLowerCase() : "";
};

/** Asks for the body of a client that waits to be asked. */
function wantBody({ response, waits, keepAlive }: Arrival): void {
  if (!waits) return;
  response.shouldKeepAlive = keepAlive;
  response.writeContinue();
}

type Fail = (failure: Failure, decorate?: Decorate) => void;

/** One request, from its arrival to its answer, in the order of work that docs/api.md lays down. */
export function serve(context: GatewayContext, arrival: Arrival): void {
  const { response, incoming } = arrival;
  const started = performance.now();
  response.on("close", () => context.observe.answered(response, started));
  // Whether the body of a client that was not asked comes after all cannot be told from its next request.
  if (arrival.waits) response.shouldKeepAlive = false;
  const fail: Fail = (failure, decorate) => {
    context.observe.failure(response, failure.reason);
    sendFailure(response, failure, context.options.showReason, decorate);
    incoming.resume();
  };
  try {
    handle(context, arrival, fail);
  } catch (error) {
    if (error instanceof PatternLimit) return fail({ reason: "PatternLimit" });
    // One request that we cannot serve must not end all others.
    context.observe.defect(error);
    fail({ reason: "InternalError" });
  }
}

function handle(context: GatewayContext, arrival: Arrival, fail: Fail): void {
  const admission = admit(arrival.incoming, arrival.scheme, context.options);
  if (!admission.ok) return fail({ reason: admission.reason, status: admission.status });
  const { request } = admission;
  const decision = decide(context.table, arrival.socket, serverName(arrival), request.host, request);
  if (decision.kind === "misdirected") return fail({ reason: "MisdirectedRequest" });
  if (decision.kind === "noRoute") return fail({ reason: "NoRoute" });
  respond(context, arrival, request, decision, fail);
}

function respond(
  context: GatewayContext,
  arrival: Arrival,
  request: GatewayRequest,
  { entry, listener: { port } }: Extract<Decision, { kind: "route" }>,
  fail: Fail,
): void {
  const { rule } = entry;
  const { cors } = rule.filters;
  if (cors !== undefined && isPreflight(request))
    return answer(arrival.response, 204, preflightHeaders(cors, request).flat(), "");
  const failed = (reason: ReasonWord): void => fail({ reason }, (own) => localHeaders(request, rule, own));
  const limit = rule.policy.maxRequestBody;
  if (limit > 0 && Number(request.header("content-length") ?? 0) > limit) return failed("BodyTooLarge");
  const { action } = rule;
  switch (action.kind) {
    case "fail":
      return failed(action.reason);
    case "respond":
      return afterBody(arrival, rule, failed, () => direct(arrival, request, rule, action));
    case "redirect": {
      const { scheme } = arrival;
      const { host, path, search: query, patterns } = request;
      const from = { scheme, host, path, query, listenerPort: port, patterns };
      const location = redirectLocation(from, action.redirect, entry.match.path);
      if (location === undefined) return failed("InvalidRule");
      const headers = localHeaders(request, rule, { location });
      return afterBody(arrival, rule, failed, () => answer(arrival.response, action.redirect.statusCode, headers, ""));
    }
    case "forward":
      wantBody(arrival);
      return new Exchange(context, forwarding(arrival, request, entry, context.options)).start();
    default:
      return action satisfies never;
  }
}

/** An answer that needs no body waits for it only where a limit says how long it may be, and its length was not said. */
function afterBody(
  arrival: Arrival,
  { policy: { maxRequestBody, idleTimeoutMs } }: RouteRule,
  failed: (reason: ReasonWord) => void,
  then: () => void,
): void {
  const { incoming, response } = arrival;
  if (maxRequestBody === 0 || incoming.headers["transfer-encoding"] === undefined) return then();
  wantBody(arrival);
  let size = 0;
  const over = (reason?: ReasonWord): void => {
    clearTimeout(idle);
    incoming.off("data", count).off("end", ended).off("close", stop);
    if (reason === undefined) return then();
    response.setHeader("connection", "close");
    failed(reason);
  };
  const ended = (): void => over();
  const stop = (): void => clearTimeout(idle);
  const idle = idleTimeoutMs > 0 ? setTimeout(() => over("IdleTimeout"), idleTimeoutMs) : undefined;
  const count = (chunk: Buffer): void => {
    size += chunk.length;
    idle?.refresh();
    if (size > maxRequestBody) over("BodyTooLarge");
  };
  incoming.on("data", count).on("end", ended).on("close", stop);
}

function forwarding(arrival: Arrival, request: GatewayRequest, entry: MatchEntry, options: GatewayOptions): Forwarding {
  const { incoming, response, upgrade } = arrival;
  const base = { incoming, response, request, entry, facts: factsOf(arrival, request, options) };
  const protocol = request.header("upgrade");
  return upgrade === undefined || protocol === undefined ? base : { ...base, upgrade: { ...upgrade, protocol } };
}

/** Header changes and CORS of a rule hold for every answer to a request that it takes, the gateway's own included. */
function localHeaders(
  request: GatewayRequest,
  { filters }: RouteRule,
  own: Readonly<Record<string, string>>,
): string[] {
  return clientHeaders(
    own,
    [filters.responseHeaders],
    filters.cors === undefined ? [] : corsHeaders(filters.cors, request),
  );
}

function direct(
  { response }: Arrival,
  request: GatewayRequest,
  rule: RouteRule,
  action: Extract<RouteRule["action"], { kind: "respond" }>,
): void {
  const type = action.contentType === "" ? {} : { "content-type": action.contentType };
  answer(response, action.statusCode, localHeaders(request, rule, type), action.body);
}

/** @param headers  Names and values by turns. */
function answer(response: ServerResponse, status: number, headers: readonly string[], body: string): void {
  const bodyless = status === 204 || status === 304;
  const length = bodyless ? [] : ["content-length", String(Buffer.byteLength(body))];
  response.writeHead(status, [...headers, ...length]);
  response.end(bodyless ? undefined : body);
}
