import type { Cors } from "../../routing/rule.ts";
import type { HeaderMatchInit } from "./route-match.ts";
import { type HeaderOptionInit, addHeader, setHeader } from "./header-changes.ts";
import { fully, literal, quoted } from "./strings.ts";

/** Requests of one kind that a rule takes, and what their answers carry. */
export interface CorsVariant {
  readonly headers: readonly HeaderMatchInit[];
  readonly answer: readonly HeaderOptionInit[];
  readonly isPreflight: boolean;
}

const present = (name: string): HeaderMatchInit => ({
  name,
  headerMatchSpecifier: { case: "presentMatch", value: true },
});
const PREFLIGHT: readonly HeaderMatchInit[] = [
  {
    name: ":method",
    headerMatchSpecifier: { case: "stringMatch", value: { matchPattern: { case: "exact", value: "OPTIONS" } } },
  },
  present("origin"),
  present("access-control-request-method"),
];
const VARY = addHeader("vary", "origin");

/** A `*` in an origin stands for one character or more, none of them a slash. */
const originPattern = (origin: string): string => (origin === "*" ? ".*" : origin.split("*").map(quoted).join("[^/]+"));

const allowed = ({ allowOrigins }: Cors): HeaderMatchInit => ({
  name: "origin",
  headerMatchSpecifier: { case: "stringMatch", value: fully(`(?i)(?:${allowOrigins.map(originPattern).join("|")})`) },
});

/** With credentials a browser takes `*` literally, so what it asked for is said back to it instead. */
function listed(name: string, values: readonly string[], asked: string, credentials: boolean): HeaderOptionInit[] {
  if (values.length === 0) return [];
  if (!values.includes("*")) return [setHeader(name, literal(values.join(", ")))];
  return [setHeader(name, credentials ? `%REQ(${asked})%` : "*")];
}

/**
 * What a rule with CORS comes to, in the order in which requests are compared: preflights and requests of origins that
 * are allowed, then those of others, whose answers say only that they depend on it.
 *
 * @source Fetch, CORS protocol.
 */
export function corsVariants(cors: Cors): readonly CorsVariant[] {
  const { allowCredentials, allowMethods, allowHeaders, exposeHeaders, maxAge } = cors;
  const any = cors.allowOrigins.includes("*") && !allowCredentials;
  const vary = any ? [] : [VARY];
  const common = [
    setHeader("access-control-allow-origin", any ? "*" : "%REQ(origin)%"),
    ...(allowCredentials ? [setHeader("access-control-allow-credentials", "true")] : []),
    ...vary,
  ];
  const exposed =
    exposeHeaders.length === 0 ? [] : [setHeader("access-control-expose-headers", literal(exposeHeaders.join(", ")))];
  const preflight = [
    ...common,
    ...listed("access-control-allow-methods", allowMethods, "access-control-request-method", allowCredentials),
    ...listed("access-control-allow-headers", allowHeaders, "access-control-request-headers", allowCredentials),
    setHeader("access-control-max-age", String(maxAge)),
  ];
  return [
    { headers: [...PREFLIGHT, allowed(cors)], answer: preflight, isPreflight: true },
    { headers: PREFLIGHT, answer: vary, isPreflight: true },
    { headers: [allowed(cors)], answer: [...common, ...exposed], isPreflight: false },
    { headers: [], answer: vary, isPreflight: false },
  ];
}
