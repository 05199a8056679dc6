import type { PatternBudget } from "./pattern-budget.ts";
import { normalisePath } from "./request-path.ts";
import type { PathChange, PathMatch, Redirect } from "./rule.ts";

/** `replacement` and what follows the matched prefix (nothing, or what starts with a slash), joined by exactly one slash. */
function joinPrefix(replacement: string, rest: string): string {
  if (rest === "") return replacement === "" ? "/" : replacement;
  const head = replacement.endsWith("/") ? replacement.slice(0, -1) : replacement;
  return head + rest;
}

/** One leading slash, then nothing that would end the path or the request line. */
const VALID_PATH = /^\/(?!\/)[!$-;=@-Z_a-z~]*$/;

/**
 * A path changed as a filter says.
 *
 * @param path   Normalised request path without the query.
 * @param match  The path match that won; a prefix change replaces what it matched.
 * @returns      Normalised again, so that no substitution leads out of a folder; undefined when the result is no path: the
 *               request is answered 500.
 * @throws       PatternLimit
 * @source       Gateway API v1 HTTPPathModifier, table of prefix replacements.
 */
export function changedPath(
  path: string,
  change: PathChange,
  match: PathMatch,
  patterns: PatternBudget,
): string | undefined {
  switch (change.kind) {
    case "full":
      return change.value;
    case "prefix":
      return joinPrefix(change.value, match.kind === "prefix" ? path.slice(match.value.length) : "");
    case "regex": {
      const result = patterns.replaceAll(change.regex, path, change.substitution);
      const normal = VALID_PATH.test(result) ? normalisePath(result) : undefined;
      return normal?.ok === true ? normal.path : undefined;
    }
    default:
      return change satisfies never;
  }
}

export interface RedirectRequest {
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly path: string;
  /** With its `?`, or empty. */
  readonly query: string;
  readonly listenerPort: number;
  readonly patterns: PatternBudget;
}

const WELL_KNOWN = { http: 80, https: 443 } as const;

/**
 * Where a redirect points, built from checked parts only, so that a request cannot steer it elsewhere (B34).
 *
 * @returns undefined when the changed path is no path.
 * @throws  PatternLimit
 * @source  Gateway API v1 HTTPRequestRedirectFilter.port: the scheme's own port if scheme is set, else the listener's.
 */
export function redirectLocation(request: RedirectRequest, redirect: Redirect, match: PathMatch): string | undefined {
  const scheme = redirect.scheme ?? request.scheme;
  const host = redirect.hostname ?? request.host;
  const port = redirect.port ?? (redirect.scheme === undefined ? request.listenerPort : WELL_KNOWN[scheme]);
  const path =
    redirect.path === undefined ? request.path : changedPath(request.path, redirect.path, match, request.patterns);
  if (path === undefined) return undefined;
  const authority = port === WELL_KNOWN[scheme] ? host : `${host}:${port}`;
  return `${scheme}://${authority}${path}${request.query}`;
}
