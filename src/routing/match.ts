import type { PatternBudget } from "./pattern-budget.ts";
import type { Regex } from "./regex.ts";
import type { PathMatch, RequestMatch, ValueMatch } from "./rule.ts";

/** A request as matching sees it. Lookups are by lower-case header name; repeated values come comma-joined. */
export interface RequestView {
  readonly method: string;
  /** Normalised path without the query. */
  readonly path: string;
  header(name: string): string | undefined;
  cookie(name: string): string | undefined;
  /** The first value of a parameter, decoded. */
  query(name: string): string | undefined;
  /** What its patterns may still cost. */
  readonly patterns: PatternBudget;
}

/** @throws PatternLimit */
export function pathMatches(match: PathMatch, path: string, patterns: PatternBudget): boolean {
  switch (match.kind) {
    case "exact":
      return path === match.value;
    case "prefix":
      return path.startsWith(match.value) && (path.length === match.value.length || path[match.value.length] === "/");
    case "regex":
      return patterns.matches(match.regex, path);
    default:
      return match satisfies never;
  }
}

export type Condition = "method" | "header" | "cookie" | "query parameter";
interface Unmet {
  readonly is: Condition;
  readonly name: string;
}

/** Besides the path, of what no pattern has to be tried for. */
export function unmetPlainCondition(match: RequestMatch, request: RequestView): Unmet | undefined {
  const { method, headers, cookies, queryParams } = match;
  if (method !== undefined && method !== request.method) return { is: "method", name: method };
  for (const m of headers)
    if (m.kind === "exact" && request.header(m.name) !== m.value) return { is: "header", name: m.name };
  for (const m of cookies)
    if (m.kind === "exact" && request.cookie(m.name) !== m.value) return { is: "cookie", name: m.name };
  for (const m of queryParams)
    if (m.kind === "exact" && request.query(m.name) !== m.value) return { is: "query parameter", name: m.name };
  return undefined;
}

const fits = (regex: Regex, value: string | undefined, patterns: PatternBudget): boolean =>
  value !== undefined && patterns.matches(regex, value);

/**
 * Besides the path, of what is a pattern.
 *
 * @throws PatternLimit
 */
export function unmetPattern({ headers, cookies, queryParams }: RequestMatch, request: RequestView): Unmet | undefined {
  const { patterns } = request;
  for (const m of headers)
    if (m.kind === "regex" && !fits(m.regex, request.header(m.name), patterns)) return { is: "header", name: m.name };
  for (const m of cookies)
    if (m.kind === "regex" && !fits(m.regex, request.cookie(m.name), patterns)) return { is: "cookie", name: m.name };
  for (const m of queryParams)
    if (m.kind === "regex" && !fits(m.regex, request.query(m.name), patterns))
      return { is: "query parameter", name: m.name };
  return undefined;
}

/**
 * A condition besides the path that `request` does not meet, undefined when it meets all.
 *
 * @throws PatternLimit
 */
export const unmetCondition = (match: RequestMatch, request: RequestView): Unmet | undefined =>
  unmetPlainCondition(match, request) ?? unmetPattern(match, request);

const sameValue = (a: ValueMatch, b: ValueMatch): boolean =>
  a.name === b.name &&
  (a.kind === "exact"
    ? b.kind === "exact" && a.value === b.value
    : b.kind === "regex" && a.regex.source === b.regex.source);

function sameValues(a: readonly ValueMatch[], b: readonly ValueMatch[]): boolean {
  return a.length === b.length && a.every((left) => b.some((right) => sameValue(left, right)));
}

/**
 * Whether `a` and `b`, of equal path match, hold for exactly the same requests. Equal is all that shadowing can be among
 * them: precedence puts the match with more conditions first, so a later one is never narrower.
 */
export function sameConditions(a: RequestMatch, b: RequestMatch): boolean {
  return (
    a.method === b.method &&
    sameValues(a.headers, b.headers) &&
    sameValues(a.cookies, b.cookies) &&
    sameValues(a.queryParams, b.queryParams)
  );
}

/** Instructions of all its patterns. */
export function patternSize({ path, headers, cookies, queryParams }: RequestMatch): number {
  const sizes = [...headers, ...cookies, ...queryParams].map((m) => (m.kind === "regex" ? m.regex.size : 0));
  return sizes.reduce((sum, size) => sum + size, path.kind === "regex" ? path.regex.size : 0);
}
