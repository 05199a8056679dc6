import { type Decision, decide } from "../routing/decide.ts";
import { PatternLimit } from "../routing/pattern-budget.ts";
import { isPreflight } from "../routing/preflight.ts";
import { MOST_HOPS } from "../routing/reasons.ts";
import { redirectLocation } from "../routing/rewrite.ts";
import type { ReasonWord, RouteRule } from "../routing/rule.ts";
import { type Decorate, type Failure, sendFailure } from "./answer.ts";
import { preflightHeaders } from "./cors.ts";
import type { Downstream } from "./downstream/downstream.ts";
import { admit } from "./downstream/request-policy.ts";
import { Exchange } from "./exchange.ts";
import { type ForwardedRequest, forwarded } from "./forwarded-request.ts";
import type { GatewayContext } from "./gateway-context.ts";
import type { GatewayRequest } from "./gateway-request.ts";
import { contentTypeOf, isGrpcType } from "./grpc-status.ts";
import { clientHeaders } from "./headers.ts";
import { extraHeaders, routeHeader } from "./extra-headers.ts";
import { type RequestRecord, recordOf } from "./request-record.ts";

type Fail = (failure: Failure, decorate?: Decorate) => void;

/** One request, from its arrival to its answer, in the order of work that docs/api.md lays down. */
export function serve(context: GatewayContext, downstream: Downstream): void {
  const record = recordOf(downstream);
  downstream.onGone(() => {
    context.observe.answered(record);
    record.trace?.ended(record);
  });
  const fail: Fail = (failure, decorate) => {
    record.reason = failure.reason;
    context.observe.failure(failure.reason);
    const grpc = isGrpcType(record.request?.header("content-type") ?? contentTypeOf(downstream.head));
    const { showReason } = context.options;
    sendFailure(downstream, failure, { showReason, grpc, ...(decorate === undefined ? {} : { decorate }) });
    downstream.dropBody();
  };
  try {
    const admission = admit(downstream.head, downstream.via.scheme, context.options);
    if (!admission.ok) return fail({ reason: admission.reason, status: admission.status });
    const arrived = forwarded(downstream, admission.request, context.options);
    record.request = arrived.request;
    record.requestId = arrived.facts.requestId;
    record.client = arrived.facts.clientAddress;
    const followed = context.tracer?.start(arrived.request, record);
    if (followed !== undefined) record.trace = followed;
    if (context.overload.sheds(context.random()) || !hasRoom(context, downstream))
      return fail({ reason: "Overloaded" });
    route(context, record, arrived, fail);
  } catch (error) {
    if (error instanceof PatternLimit) return fail({ reason: "PatternLimit" });
    // One request that we cannot serve must not end all others.
    context.observe.defect(error);
    fail({ reason: "InternalError" });
  }
}

/** A connection of HTTP/2 may bring a hundred bodies at once, of each of which as much is kept as of a connection of HTTP/1. */
function hasRoom({ bodies }: GatewayContext, downstream: Downstream): boolean {
  return !downstream.hasBody || bodies.admits((gone) => downstream.onGone(gone));
}

function route(context: GatewayContext, record: RequestRecord, arrived: ForwardedRequest, fail: Fail): void {
  const { via, serverName } = record.downstream;
  const { request } = arrived;
  const decision = decide(context.table, via.socket, serverName, request.host, request);
  if (decision.kind === "misdirected") return fail({ reason: "MisdirectedRequest" });
  if (decision.kind === "noRoute") return fail({ reason: "NoRoute" });
  record.rule = decision.entry.rule;
  record.trace?.decided(record);
  respond(context, record, arrived, decision, fail);
}

function respond(
  context: GatewayContext,
  record: RequestRecord,
  { request, facts }: ForwardedRequest,
  { entry, listener: { port } }: Extract<Decision, { kind: "route" }>,
  fail: Fail,
): void {
  const { downstream } = record;
  const { rule } = entry;
  const { cors } = rule.filters;
  if (cors !== undefined && isPreflight(request)) {
    const headers = [...preflightHeaders(cors, request), ...routeHeader(context.options, rule)].flat();
    answer(downstream, 204, headers, "");
    return downstream.dropBody();
  }
  const failed = (reason: ReasonWord): void => fail({ reason }, (own) => localHeaders(context, request, rule, own));
  const limit = rule.policy.maxRequestBody;
  if (limit > 0 && Number(request.header("content-length") ?? 0) > limit) return failed("BodyTooLarge");
  const { action } = rule;
  switch (action.kind) {
    case "fail":
      return failed(action.reason);
    case "respond":
      if (downstream.upgrade?.acceptedBy === 200 && action.statusCode < 300) return failed("NotImplemented");
      return afterBody(downstream, request, rule, failed, () => direct(context, downstream, request, rule, action));
    case "redirect": {
      const { scheme } = downstream.via;
      const { host, path, search: query, patterns } = request;
      const from = { scheme, host, path, query, listenerPort: port, patterns };
      const location = redirectLocation(from, action.redirect, entry.match.path);
      if (location === undefined) return failed("InvalidRule");
      const headers = localHeaders(context, request, rule, { location });
      return afterBody(downstream, request, rule, failed, () =>
        answer(downstream, action.redirect.statusCode, headers, ""),
      );
    }
    case "forward":
      if (facts.hops > MOST_HOPS) return failed("LoopDetected");
      downstream.askForBody();
      return new Exchange(context, { downstream, request, entry, facts, record }).start();
    default:
      return action satisfies never;
  }
}

/** An answer that needs no body waits for it only where a limit says how long it may be, and its length was not said. */
function afterBody(
  downstream: Downstream,
  request: GatewayRequest,
  { policy: { maxRequestBody, idleTimeoutMs } }: RouteRule,
  failed: (reason: ReasonWord) => void,
  then: () => void,
): void {
  if (maxRequestBody === 0 || !downstream.hasBody || request.headers.has("content-length")) {
    then();
    return downstream.dropBody();
  }
  downstream.askForBody();
  const { body } = downstream;
  let size = 0;
  let isOver = false;
  const over = (reason?: ReasonWord): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(idle);
    body.off("data", count).off("end", ended).off("close", stop);
    if (reason === undefined) return then();
    downstream.takeNoMore();
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
  body.on("data", count).on("end", ended).on("close", stop);
  downstream.onMalformed(() => over("BadRequest"));
}

/** Header changes and CORS of a rule hold for every answer to a request that it takes, the gateway's own included. */
function localHeaders(
  { options }: GatewayContext,
  request: GatewayRequest,
  rule: RouteRule,
  own: Readonly<Record<string, string>>,
): string[] {
  return clientHeaders(own, [rule.filters.responseHeaders], extraHeaders(options, request, rule));
}

function direct(
  context: GatewayContext,
  downstream: Downstream,
  request: GatewayRequest,
  rule: RouteRule,
  action: Extract<RouteRule["action"], { kind: "respond" }>,
): void {
  const type = action.contentType === "" ? {} : { "content-type": action.contentType };
  answer(downstream, action.statusCode, localHeaders(context, request, rule, type), action.body);
}

/** @param headers  Names and values by turns. */
function answer(downstream: Downstream, status: number, headers: readonly string[], body: string): void {
  const bodyless = status === 204 || status === 304;
  const length = bodyless ? [] : ["content-length", String(Buffer.byteLength(body))];
  downstream.answer(status, [...headers, ...length], bodyless ? "" : body);
}
