import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { type Decision, decide } from "../routing/decide.ts";
import type { MatchEntry } from "../routing/precedence.ts";
import { redirectLocation } from "../routing/rewrite.ts";
import type { RouteRule } from "../routing/rule.ts";
import { type Failure, sendFailure } from "./answer.ts";
import { isPreflight } from "../routing/preflight.ts";
import { corsHeaders, preflightHeaders } from "./cors.ts";
import { Exchange } from "./exchange.ts";
import type { Forwarding } from "./forwarding.ts";
import type { GatewayContext } from "./gateway-context.ts";
import { type GatewayRequest, admit } from "./gateway-request.ts";
import { type ForwardingFacts, clientHeaders } from "./headers.ts";

const REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/;

export interface Arrival {
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  readonly socket: string;
  readonly scheme: "http" | "https";
  readonly upgrade?: { readonly socket: Duplex; readonly head: Buffer };
}

function factsOf({ incoming, scheme }: Arrival, request: GatewayRequest): ForwardingFacts {
  const given = request.header("x-request-id") ?? "";
  return {
    clientAddress: (incoming.socket.remoteAddress ?? "").replace(/^::ffff:/, ""),
    scheme,
    requestId: REQUEST_ID.test(given) ? given : randomUUID(),
  };
}

const serverName = ({ incoming }: Arrival): string => {
  const name = (incoming.socket as Partial<TLSSocket>).servername;
  return typeof name === "string" ? name.toLowerCase() : "";
};

/** One request, from its arrival to its answer, in the order of work that docs/api.md lays down. */
export function serve(context: GatewayContext, arrival: Arrival): void {
  const { response, incoming } = arrival;
  const started = performance.now();
  response.on("close", () => context.observe.answered(response, started));
  const fail = (failure: Failure): void => {
    context.observe.failure(response, failure.reason);
    sendFailure(response, failure, context.options.showReason);
    incoming.resume();
  };
  const admission = admit(incoming);
  if (!admission.ok) return fail({ reason: "BadRequest", status: admission.status });
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
  fail: (failure: Failure) => void,
): void {
  const { rule } = entry;
  const { cors } = rule.filters;
  if (cors !== undefined && isPreflight(request))
    return answer(arrival.response, 204, preflightHeaders(cors, request), "");
  const { action } = rule;
  switch (action.kind) {
    case "fail":
      return fail({ reason: action.reason });
    case "respond":
      return direct(arrival, request, rule, action);
    case "redirect": {
      const location = redirectLocation(
        {
          scheme: arrival.scheme,
          host: request.host,
          path: request.path,
          query: request.search,
          listenerPort: port,
        },
        action.redirect,
        entry.match.path,
      );
      if (location === undefined) return fail({ reason: "InvalidRule" });
      return answer(
        arrival.response,
        action.redirect.statusCode,
        [...localHeaders(request, rule), ["location", location]],
        "",
      );
    }
    case "forward":
      return new Exchange(context, forwarding(arrival, request, entry)).start();
    default:
      return action satisfies never;
  }
}

function forwarding(arrival: Arrival, request: GatewayRequest, entry: MatchEntry): Forwarding {
  const { incoming, response, upgrade } = arrival;
  const base = { incoming, response, request, entry, facts: factsOf(arrival, request) };
  const protocol = request.header("upgrade");
  return upgrade === undefined || protocol === undefined ? base : { ...base, upgrade: { ...upgrade, protocol } };
}

type Pairs = (readonly [string, string])[];

/** Header changes of the rule hold for answers of the gateway that a rule asks for. */
function localHeaders(
  request: GatewayRequest,
  { filters }: RouteRule,
  own: Readonly<Record<string, string>> = {},
): Pairs {
  const flat = clientHeaders(
    own,
    [filters.responseHeaders],
    filters.cors === undefined ? [] : corsHeaders(filters.cors, request),
  );
  const pairs: Pairs = [];
  for (let i = 0; i + 1 < flat.length; i += 2) pairs.push([flat[i] ?? "", flat[i + 1] ?? ""]);
  return pairs;
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

function answer(response: ServerResponse, status: number, headers: Pairs, body: string): void {
  const bodyless = status === 204 || status === 304;
  const length: Pairs = bodyless ? [] : [["content-length", String(Buffer.byteLength(body))]];
  response.writeHead(status, [...headers, ...length].flat());
  response.end(bodyless ? undefined : body);
}
