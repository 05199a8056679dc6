import type { Key } from "../api/keys.ts";
import { isPreflight } from "./preflight.ts";
import { effectiveWeights, sharePercents } from "./backend-choice.ts";
import { listenerFor } from "./decide.ts";
import { authorityOf } from "./endpoints.ts";
import type { Listener } from "./listener.ts";
import { type RequestView, pathMatches, unmetCondition } from "./match.ts";
import { PatternLimit } from "./pattern-budget.ts";
import { type MatchEntry, decidingStep } from "./precedence.ts";
import type { RoutingTableView } from "./routing-table.ts";
import { describeCluster } from "./explain-cluster.ts";
import type { Filters, RequestMatch, RouteRule, RulePolicy, WeightedBackend } from "./rule.ts";

export interface ExplainedBackend {
  readonly name: string;
  readonly weight: number;
  readonly sharePercent: number;
  readonly problem?: string;
  readonly endpoints?: {
    readonly ready: number;
    readonly draining: number;
    readonly total: number;
    readonly addresses: readonly string[];
  };
  readonly filters: readonly string[];
  /** How it is spoken to and what watches over it, as far as that is not plain. */
  readonly cluster?: readonly string[];
}
export interface ExplainedRule {
  readonly route: Key<"ServiceRoute">;
  readonly rule: string;
  readonly match: string;
  readonly why: string;
}
export interface Explanation {
  readonly listener?: string;
  /** Listeners on other addresses or ports that take the same scheme, host and port. */
  readonly otherListeners: readonly string[];
  readonly hostname?: string;
  readonly winner?: ExplainedRule & {
    readonly action: string;
    readonly filters: readonly string[];
    readonly policy: RulePolicy;
    readonly backends: readonly ExplainedBackend[];
    /** Serves what would be 503 for want of endpoints; its share is 0. */
    readonly fallback?: ExplainedBackend;
  };
  /** Every other match of the hostname, in order of precedence, then those of less specific ones, with what it lost on. */
  readonly losers: readonly ExplainedRule[];
  /** What the gateway answers when no rule wins. */
  readonly answer?: string;
}

export interface ExplainRequest extends RequestView {
  readonly host: string;
  /** Of a request, or of what is none: a connection, told apart by SNI or not at all, or datagrams. */
  readonly scheme: "http" | "https" | "tcp" | "tls" | "udp";
  readonly port?: number;
  /** `namespace/name` of a Gateway, or `/builtin`: only its listeners are asked. */
  readonly gateway?: string;
}

/** A match as one line, for people. */
export function describeMatch({ path, method, headers, cookies, queryParams }: RequestMatch): string {
  const where =
    path.kind === "regex"
      ? `RegularExpression ${path.regex.source}`
      : path.kind === "exact"
        ? `Exact ${path.value}`
        : `PathPrefix ${path.value === "" ? "/" : path.value}`;
  const values = (label: string, list: RequestMatch["headers"]): string[] =>
    list.map((m) => `${label} ${m.name} ${m.kind === "exact" ? `= ${m.value}` : `~ ${m.regex.source}`}`);
  return [
    where,
    ...(method === undefined ? [] : [`method ${method}`]),
    ...values("header", headers),
    ...values("cookie", cookies),
    ...values("query", queryParams),
  ].join(", ");
}

function describeFilters(filters: Filters): string[] {
  const out: string[] = [];
  const changes = (label: string, h: Filters["requestHeaders"]): void => {
    if (h === undefined) return;
    const parts = [
      ...h.set.map(([n, v]) => `set ${n}=${v}`),
      ...h.add.map(([n, v]) => `add ${n}=${v}`),
      ...h.remove.map((n) => `remove ${n}`),
    ];
    out.push(`${label}: ${parts.join(", ")}`);
  };
  changes("request headers", filters.requestHeaders);
  changes("response headers", filters.responseHeaders);
  if (filters.cors !== undefined) out.push(`CORS: origins ${filters.cors.allowOrigins.join(", ")}`);
  if (filters.rewrite?.hostname !== undefined) out.push(`rewrite host to ${filters.rewrite.hostname}`);
  const path = filters.rewrite?.path;
  if (path !== undefined)
    out.push(
      path.kind === "regex"
        ? `rewrite path ${path.regex.source} to ${path.substitution}`
        : `rewrite path (${path.kind}) to ${path.value}`,
    );
  for (const mirror of filters.mirrors)
    out.push(
      `mirror ${Number((mirror.share * 100).toFixed(4))} % to ${mirror.backend.kind === "cluster" ? mirror.backend.endpoints : "an invalid backend"}`,
    );
  return out;
}

function describeAction({ action, filters }: RouteRule, request: ExplainRequest): string {
  if (filters.cors !== undefined && isPreflight(request)) return "respond 204: a CORS preflight is answered here";
  switch (action.kind) {
    case "forward":
      return [
        "forward",
        ...(action.redistribute ? ["shares of backends without endpoints go to the others"] : []),
        ...(action.fallback === undefined ? [] : [`without endpoints to ${nameOf(action.fallback)}`]),
      ].join("; ");
    case "redirect":
      return `redirect ${action.redirect.statusCode}`;
    case "respond":
      return `respond ${action.statusCode}`;
    case "fail":
      return `500 ${action.reason}: ${action.message}`;
    default:
      return action satisfies never;
  }
}

const nameOf = ({ target, ref }: WeightedBackend): string => (target.kind === "cluster" ? target.endpoints : ref.name);

function explainBackends(table: RoutingTableView, { action }: RouteRule): ExplainedBackend[] {
  if (action.kind !== "forward") return [];
  const weights = effectiveWeights(action.backends, action.redistribute, (key) => table.endpoints.get(key));
  const shares = sharePercents(weights);
  return action.backends.map((backend, i) => explainBackend(table, backend, shares[i] ?? 0));
}

function explainBackend(table: RoutingTableView, backend: WeightedBackend, sharePercent: number): ExplainedBackend {
  const { target, weight, filters } = backend;
  const base = { name: nameOf(backend), weight, sharePercent, filters: describeFilters(filters) };
  if (target.kind === "invalid") return { ...base, problem: `${target.error.reason}: ${target.error.message}` };
  const described = describeCluster(target);
  const set = table.endpoints.get(target.endpoints);
  const addresses = (set?.usable ?? []).map(authorityOf);
  return {
    ...base,
    ...(described.length === 0 ? {} : { cluster: described }),
    endpoints: { ready: set?.ready ?? 0, draining: set?.draining ?? 0, total: set?.total ?? 0, addresses },
  };
}

function explainFallback(table: RoutingTableView, { action }: RouteRule): ExplainedBackend | undefined {
  if (action.kind !== "forward" || action.fallback === undefined) return undefined;
  return explainBackend(table, action.fallback, 0);
}

function line(entry: MatchEntry, why: string): ExplainedRule {
  return { route: entry.rule.route, rule: entry.rule.name, match: describeMatch(entry.match), why };
}

/** What `find` finds, or what `instead` makes of patterns that take too long. */
function within<T>(find: () => T, instead: (limit: PatternLimit) => T): T {
  try {
    return find();
  } catch (error) {
    if (error instanceof PatternLimit) return instead(error);
    throw error;
  }
}

function lossOf(entry: MatchEntry, winner: MatchEntry | undefined, request: RequestView): string {
  if (!pathMatches(entry.match.path, request.path, request.patterns)) return "path does not match";
  const unmet = unmetCondition(entry.match, request);
  if (unmet !== undefined) return `${unmet.is} ${unmet.name} does not match`;
  return winner === undefined ? "" : `matches, but loses on ${decidingStep(winner, entry)}`;
}

/** Of each socket the listener that takes the request: on which of them it arrives, only its client knows. */
function listenersOf(table: RoutingTableView, request: ExplainRequest): Listener[] {
  const isMeant = (one: Listener): boolean =>
    one.protocol.toLowerCase() === request.scheme &&
    (request.port === undefined || one.port === request.port) &&
    (request.gateway === undefined || one.id.startsWith(`${request.gateway}/`));
  return [...table.sockets()].flatMap((socket) => {
    const listener = listenerFor(table.listenersOn(socket), request.host);
    return listener !== undefined && isMeant(listener) ? [listener] : [];
  });
}

/** What somebody gets whom no rule takes. */
function noRoute({ scheme }: ExplainRequest, why: string): string {
  const isRequest = scheme === "http" || scheme === "https";
  return `${isRequest ? "404" : scheme === "udp" ? "dropped" : "reset"} NoRoute: ${why}`;
}

/** How the table decides a request, and on what every other match of its hostname lost. Cost grows with the host. */
export function explain(table: RoutingTableView, request: ExplainRequest): Explanation {
  const all = listenersOf(table, request).map((listener) => explainOn(table, listener, request));
  const best =
    all.find(({ winner }) => winner !== undefined) ?? all.find(({ hostname }) => hostname !== undefined) ?? all[0];
  if (best === undefined)
    return { otherListeners: [], losers: [], answer: noRoute(request, "no listener takes this scheme, port and host") };
  const otherListeners = all.flatMap(({ listener }) => (listener === best.listener ? [] : [listener]));
  return { ...best, otherListeners };
}

type OnListener = Omit<Explanation, "otherListeners"> & { readonly listener: string };

function explainOn(table: RoutingTableView, listener: Listener, request: ExplainRequest): OnListener {
  const [found, ...lessSpecific] = table.coveringHosts(listener.id, request.host);
  if (found === undefined)
    return { listener: listener.id, losers: [], answer: noRoute(request, "no route has this hostname") };
  const { winner, limit } = within<{ winner?: MatchEntry | undefined; limit?: PatternLimit }>(
    () => ({ winner: found.host.match(request) }),
    (error) => ({ limit: error }),
  );
  const why = (entry: MatchEntry): string =>
    within(
      () => lossOf(entry, winner, request),
      () => "not asked: patterns took too long",
    );
  const losers = [
    ...found.host.entries().flatMap((entry) => (entry === winner ? [] : [line(entry, why(entry))])),
    ...lessSpecific.flatMap(({ hostname, host }) =>
      hostname === found.hostname
        ? []
        : host.entries().map((entry) => line(entry, `hostname ${hostname} is less specific than ${found.hostname}`)),
    ),
  ];
  const base = { listener: listener.id, hostname: found.hostname, losers };
  if (limit !== undefined) return { ...base, answer: `500 PatternLimit: ${limit.message}` };
  if (winner === undefined)
    return {
      ...base,
      answer: noRoute(request, "no rule of the hostname matches; less specific hostnames are not asked"),
    };
  const { rule } = winner;
  const fallback = explainFallback(table, rule);
  return {
    ...base,
    winner: {
      ...line(winner, "first in precedence of all that match"),
      action: describeAction(rule, request),
      filters: describeFilters(rule.filters),
      policy: rule.policy,
      backends: explainBackends(table, rule),
      ...(fallback === undefined ? {} : { fallback }),
    },
  };
}
