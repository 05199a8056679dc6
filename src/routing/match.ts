import type { PatternBudget } from "./pattern-budget.ts";
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

function valueMatches(match: ValueMatch, value: string | undefined, patterns: PatternBudget): boolean {
  if (value === undefined) return false;
  return match.kind === "exact" ? value === match.value : patterns.matches(match.regex, value);
}

export type Condition = "method" | "header" | "cookie" | "query parameter";

/**
 * The first condition besides the path that `request` does not meet, undefined when it meets all.
 *
 * @throws PatternLimit
 */
export function unmetCondition(match: RequestMatch, request: RequestView): { is: Condition; name: string } | undefined {
  const { patterns } = request;
  if (match.method !== undefined && match.method !== request.method) return { is: "method", name: match.method };
  for (const m of match.headers) {
    if (!valueMatches(m, request.header(m.name), patterns)) return { is: "header", name: m.name };
  }
  for (const m of match.cookies) {
    if (!valueMatches(m, request.cookie(m.name), patterns)) return { is: "cookie", name: m.name };
  }
  for (const m of match.queryParams) {
    if (!valueMatches(m, request.query(m.name), patterns)) return { is: "query parameter", name: m.name };
  }
  return undefined;
}

/** Whether `request` meets all conditions besides the path that no pattern has to be tried for. */
export const isPlainlyMet = (match: RequestMatch, request: RequestView): boolean =>
  (match.method === undefined || match.method === request.method) &&
  match.headers.every((m) => m.kind !== "exact" || request.header(m.name) === m.value) &&
  match.cookies.every((m) => m.kind !== "exact" || request.cookie(m.name) === m.value) &&
  match.queryParams.every((m) => m.kind !== "exact" || request.query(m.name) === m.value);

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
