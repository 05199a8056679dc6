import type { Key } from "../api/keys.ts";
import type { RequestMatch, RouteRule } from "./rule.ts";

/** One match of one rule on one virtual host, with everything that precedence asks. */
export interface MatchEntry {
  readonly match: RequestMatch;
  readonly rule: RouteRule;
  /** RFC 3339; empty in folders. */
  readonly createdAt: string;
  readonly index: number;
}

export type PrecedenceStep =
  "path" | "method" | "header count" | "cookie count" | "query parameter count" | "age" | "name" | "rule order";

const PATH_RANK = { exact: 0, regex: 1, prefix: 2 } as const;

/** By code unit: `localeCompare` depends on the machine. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

const pathText = ({ path }: RequestMatch): string => (path.kind === "regex" ? path.regex.source : path.value);

function byPath(a: RequestMatch, b: RequestMatch): number {
  return PATH_RANK[a.path.kind] - PATH_RANK[b.path.kind] || pathText(b).length - pathText(a).length;
}

const steps: readonly (readonly [PrecedenceStep, (a: MatchEntry, b: MatchEntry) => number])[] = [
  ["path", (a, b) => byPath(a.match, b.match)],
  ["method", (a, b) => Number(b.match.method !== undefined) - Number(a.match.method !== undefined)],
  ["header count", (a, b) => b.match.headers.length - a.match.headers.length],
  ["cookie count", (a, b) => b.match.cookies.length - a.match.cookies.length],
  ["query parameter count", (a, b) => b.match.queryParams.length - a.match.queryParams.length],
  ["age", (a, b) => byAge(a.createdAt, b.createdAt)],
  ["name", (a, b) => compareText(routeName(a.rule.route), routeName(b.rule.route))],
  ["rule order", (a, b) => a.rule.index - b.rule.index || a.index - b.index],
];

/** Without a timestamp, as in folders, an object counts as newer than any that has one, so that the order stays total. */
function byAge(a: string, b: string): number {
  if (a === "" || b === "") return Number(a === "") - Number(b === "");
  return compareText(a, b);
}

/** `namespace/name` without the kind, so that kinds compare by name before they compare by kind. */
const routeName = (route: Key): string => route.slice(route.indexOf("/") + 1);

/**
 * Which of two matches of one host wins: negative when `a` does. A total order, so the table does not depend on the
 * order of events: paths of equal rank and length that differ cannot both be met unless they are patterns, which then
 * compare by age and name.
 *
 * @source Gateway API v1 HTTPRouteRule.matches, "precedence"; cookies and patterns as in docs/api.md.
 */
export function byPrecedence(a: MatchEntry, b: MatchEntry): number {
  for (const [, compare] of steps) {
    const order = compare(a, b);
    if (order !== 0) return order;
  }
  return 0;
}

/** Adds to a list that is kept in order of precedence. */
export function insertInOrder(list: MatchEntry[], entry: MatchEntry): void {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = list[middle];
    if (other !== undefined && byPrecedence(other, entry) <= 0) low = middle + 1;
    else high = middle;
  }
  list.splice(low, 0, entry);
}

/** The step on which `loser` lost to `winner`. */
export function decidingStep(winner: MatchEntry, loser: MatchEntry): PrecedenceStep {
  return steps.find(([, compare]) => compare(winner, loser) !== 0)?.[0] ?? "rule order";
}
