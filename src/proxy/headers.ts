import type { IncomingHttpHeaders } from "node:http";
import type { HeaderChanges } from "../routing/rule.ts";
import type { GatewayRequest } from "./gateway-request.ts";
import type { TryTrace } from "./request-record.ts";
import type { ClientOrigin } from "./downstream/client-origin.ts";
import { HOPS_HEADER, MIRRORED_BY, REASON_HEADER, ROUTE_HEADER } from "../routing/reasons.ts";

type Values = Map<string, readonly string[]>;

/** @source RFC 9110 section 7.6.1, and what is framing: rebuilt on each side, never copied. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "expect",
  "http2-settings",
]);
/** Said by the gateway, or by nobody (B54). */
const OWN = new Set([
  "x-forwarded-for",
  "x-forwarded-proto",
  "x-forwarded-host",
  "x-forwarded-port",
  "forwarded",
  "x-real-ip",
  REASON_HEADER,
  ROUTE_HEADER,
]);

/** Envoy's own headers are instructions to a proxy: behind us there may be one that follows them. */
const isOwn = (name: string): boolean => OWN.has(name) || name.startsWith("x-envoy-");

/** Beside all of `x-forwarded-*`, user and certificate among them: what backends take for a proxy's word (B54). */
const OF_PROXIES = new Set([
  "x-client-ip",
  "x-cluster-client-ip",
  "true-client-ip",
  "x-original-url",
  "x-original-host",
  "x-rewrite-url",
]);
const isOfProxies = (name: string): boolean => OF_PROXIES.has(name) || name.startsWith("x-forwarded-");

/** Besides what is of one hop or our own: framing and routing, which come too late in a trailer. @source RFC 9110 6.5.1. */
const NEVER_TRAILERS = new Set([
  "host",
  "content-length",
  "content-type",
  "content-encoding",
  "authorization",
  "cookie",
  "x-request-id",
]);

/**
 * Trailers that may go on, names and values by turns.
 *
 * @param changes  Of headers: what a rule sets or takes away does not come in through a trailer either.
 */
export function passedTrailers(
  raw: readonly string[],
  changes: readonly (HeaderChanges | undefined)[],
  allows: (name: string) => boolean = () => true,
): string[] {
  if (raw.length === 0) return [];
  const changed = new Set(
    changes.flatMap((one) => [
      ...(one?.remove ?? []),
      ...[...(one?.set ?? []), ...(one?.add ?? [])].map(([name]) => name),
    ]),
  );
  return raw.filter((_, i) => {
    const name = (raw[i - (i % 2)] ?? "").toLowerCase();
    const isBarred =
      name.startsWith(":") || HOP_BY_HOP.has(name) || isOwn(name) || isOfProxies(name) || NEVER_TRAILERS.has(name);
    return !isBarred && !name.startsWith("x-serviceroute-") && !changed.has(name) && allows(name);
  });
}

/** Fields by name as Node wants them, repeated ones apart, pseudo-headers left out. Any name may come, `constructor` too. */
export function fieldsOf(raw: readonly string[]): Record<string, string[]> {
  const fields = Object.create(null) as Record<string, string[]>;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    if (!name.startsWith(":")) (fields[name] ??= []).push(raw[i + 1] ?? "");
  }
  return fields;
}

function namedByConnection(headers: ReadonlyMap<string, readonly string[]>): ReadonlySet<string> {
  const names = (headers.get("connection") ?? [])
    .flatMap((line) => line.split(","))
    .map((name) => name.trim().toLowerCase());
  return new Set(names);
}

function applyChanges(values: Values, changes: HeaderChanges | undefined): void {
  if (changes === undefined) return;
  for (const [name, value] of changes.set) values.set(name, [value]);
  for (const [name, value] of changes.add) values.set(name, [...(values.get(name) ?? []), value]);
  for (const name of changes.remove) values.delete(name);
}

function flat(values: Values): string[] {
  const out: string[] = [];
  for (const [name, list] of values) for (const value of list) out.push(name, value);
  return out;
}

export interface ForwardingFacts extends ClientOrigin {
  readonly requestId: string;
  /** Gateways of ours that the request has passed, this one included. */
  readonly hops: number;
  /** Whether the client says that it reads trailers. */
  readonly takesTrailers: boolean;
}

/**
 * Headers without those of one hop, and those that the other side is not believed in.
 *
 * @param isProxy  It is a proxy that the operator trusts.
 */
export function endToEnd(headers: ReadonlyMap<string, readonly string[]>, isProxy: boolean): Values {
  const named = namedByConnection(headers);
  const values: Values = new Map();
  for (const [name, list] of headers) {
    const isBelieved = !isOwn(name) && (isProxy || !isOfProxies(name));
    if (isBelieved && !HOP_BY_HOP.has(name) && !named.has(name)) values.set(name, list);
  }
  return values;
}

/** What the gateway says of a request. */
export function setFacts(values: Values, facts: ForwardingFacts): void {
  values.set("x-request-id", [facts.requestId]);
  values.set(HOPS_HEADER, [String(facts.hops)]);
  values.set("x-forwarded-for", [facts.forwardedFor]);
  values.set("x-forwarded-proto", [facts.scheme]);
  values.set("x-forwarded-host", [facts.forwardedHost]);
}

interface BackendHeaderParts {
  readonly trace?: TryTrace["headers"];
  readonly changes?: readonly (HeaderChanges | undefined)[];
  readonly marks?: readonly (readonly [name: string, value: string])[];
}

/** Headers for the backend: those of the request, then the changes in order; what ends loops is beyond all changes. */
export function backendHeaders(
  { headers }: GatewayRequest,
  host: string,
  { trace = [], changes = [], marks = [] }: BackendHeaderParts,
): string[] {
  const values: Values = new Map(headers);
  for (const [name, value] of trace) values.set(name, [value]);
  for (const change of changes) applyChanges(values, change);
  for (const name of [HOPS_HEADER, MIRRORED_BY]) {
    const mark = headers.get(name);
    if (mark === undefined) values.delete(name);
    else values.set(name, mark);
  }
  for (const [name, value] of marks) values.set(name, [value]);
  values.set("host", [host]);
  return flat(values);
}

/** Answers without a body, whatever comes behind them. @source RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5. */
export const BODYLESS: ReadonlySet<number> = new Set([204, 205, 304]);

/**
 * A 204 has no length, a 205 that of nothing; a 304 says what a 200 would have, and all say it in one form.
 *
 * @source RFC 9110 section 8.6.
 */
export function withTrueLength(status: number, headers: IncomingHttpHeaders): IncomingHttpHeaders {
  // A list of one where it came over HTTP/2.
  const said = headers["content-length"] as string | readonly string[] | undefined;
  if (said === undefined || (status !== 204 && status !== 205 && !/^0./.test(String(said)))) return headers;
  const length = status === 205 ? "0" : String(said).replace(/^0+(?=.)/, "");
  return { ...headers, "content-length": status === 204 ? undefined : length };
}

/** Headers for the client: the backend's end-to-end ones, then the changes in order, then `extra`. */
export function clientHeaders(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  changes: readonly (HeaderChanges | undefined)[],
  extra: readonly (readonly [string, string])[],
): string[] {
  const values: Values = new Map();
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) values.set(name.toLowerCase(), typeof value === "string" ? [value] : value);
  }
  const named = namedByConnection(values);
  for (const name of [...values.keys()])
    if (HOP_BY_HOP.has(name) || name.startsWith("x-serviceroute-") || named.has(name)) values.delete(name);
  for (const change of changes) applyChanges(values, change);
  for (const [name, value] of extra) values.set(name, name === "vary" ? [...(values.get(name) ?? []), value] : [value]);
  return flat(values);
}
