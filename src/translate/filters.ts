import type { RouteFilter } from "../api/filter.ts";
import { compileRegex, groupCount, highestGroup } from "../routing/regex.ts";
import { normalisePath } from "../routing/request-path.ts";
import type {
  Cors,
  Filters,
  HeaderChanges,
  Mirror,
  PathChange,
  Redirect,
  Rewrite,
  RuleAction,
} from "../routing/rule.ts";
import { type BackendContext, resolveBackend } from "./backends.ts";
import type { LocatedFilter } from "./effective-rule.ts";
import type { Problems } from "./problems.ts";

type Modifier = NonNullable<RouteFilter["requestHeaderModifier"]>;
type RawPath = NonNullable<NonNullable<RouteFilter["urlRewrite"]>["path"]>;

/** Headers that frame a message, name its route or end at each hop: changing them could smuggle a request (B28). */
const FORBIDDEN = new Set([
  "host",
  "connection",
  "transfer-encoding",
  "content-length",
  "upgrade",
  "te",
  "trailer",
  "keep-alive",
  "expect",
]);
const FORBIDDEN_PREFIX = ["proxy-", "x-forwarded-", "x-envoy-", "x-serviceroute-"];

const NO_MIRRORS: readonly Mirror[] = Object.freeze([]);
export const NO_FILTERS: Filters = Object.freeze({ mirrors: NO_MIRRORS });

function isForbidden(name: string): boolean {
  return FORBIDDEN.has(name) || FORBIDDEN_PREFIX.some((prefix) => name.startsWith(prefix));
}

/** Names lower-case; of equal names the first counts. */
function headerChanges(modifier: Modifier, field: string, problems: Problems): HeaderChanges {
  const checked = (name: string, at: string): string => {
    const lower = name.toLowerCase();
    if (isForbidden(lower)) problems.spec(at, `header "${name}" belongs to the gateway and cannot be changed`);
    return lower;
  };
  const pairs = (list: "set" | "add"): [string, string][] => {
    const byName = new Map<string, string>();
    for (const [i, { name, value }] of (modifier[list] ?? []).entries()) {
      const lower = checked(name, `${field}.${list}[${i}].name`);
      if (!byName.has(lower)) byName.set(lower, value);
    }
    return [...byName];
  };
  return {
    set: pairs("set"),
    add: pairs("add"),
    remove: (modifier.remove ?? []).map((name, i) => checked(name, `${field}.remove[${i}]`)),
  };
}

function literalPath(kind: "full" | "prefix", value: string, field: string, problems: Problems): PathChange {
  if (/(^|\/)\.\.?(\/|$)|\/\//.test(value))
    problems.spec(field, `"${value}" must not contain '//', '.' or '..' segments`);
  const absolute = value === "" || value.startsWith("/") ? value : `/${value}`;
  if (absolute === "") return { kind, value: kind === "full" ? "/" : "" };
  const normal = normalisePath(absolute);
  if (!normal.ok) problems.spec(field, `${JSON.stringify(value)} has ${normal.problem}`);
  return { kind, value: normal.ok ? normal.path : "/" };
}

function pathChange(
  path: Partial<RawPath> & { type: string },
  field: string,
  problems: Problems,
): PathChange | undefined {
  if (path.replaceFullPath !== undefined)
    return literalPath("full", path.replaceFullPath, `${field}.replaceFullPath`, problems);
  if (path.replacePrefixMatch !== undefined)
    return literalPath("prefix", path.replacePrefixMatch, `${field}.replacePrefixMatch`, problems);
  if (path.replaceRegexMatch === undefined) return undefined;
  const { pattern, substitution } = path.replaceRegexMatch;
  const compiled = compileRegex(pattern);
  if (!compiled.ok) {
    problems.spec(`${field}.replaceRegexMatch.pattern`, compiled.message);
    return undefined;
  }
  if (highestGroup(substitution) > groupCount(pattern)) {
    problems.spec(`${field}.replaceRegexMatch.substitution`, `names a group that pattern does not have`);
  }
  return { kind: "regex", regex: compiled.regex, substitution };
}

function rewriteOf(raw: NonNullable<RouteFilter["urlRewrite"]>, field: string, problems: Problems): Rewrite {
  const path = raw.path === undefined ? undefined : pathChange(raw.path, `${field}.path`, problems);
  return { ...(raw.hostname === undefined ? {} : { hostname: raw.hostname }), ...(path === undefined ? {} : { path }) };
}

function redirectOf(raw: NonNullable<RouteFilter["requestRedirect"]>, field: string, problems: Problems): Redirect {
  if ([raw.scheme, raw.hostname, raw.port, raw.path].every((change) => change === undefined))
    problems.spec(field, "leads every request back to where it came from; set scheme, hostname, port or path");
  const path = raw.path === undefined ? undefined : pathChange(raw.path, `${field}.path`, problems);
  return {
    ...(raw.scheme === undefined ? {} : { scheme: raw.scheme }),
    ...(raw.hostname === undefined ? {} : { hostname: raw.hostname }),
    ...(path === undefined ? {} : { path }),
    ...(raw.port === undefined ? {} : { port: raw.port }),
    statusCode: raw.statusCode ?? 302,
  };
}

function corsOf(raw: NonNullable<RouteFilter["cors"]>): Cors {
  return {
    allowOrigins: (raw.allowOrigins ?? []).map((origin) => origin.toLowerCase()),
    allowCredentials: raw.allowCredentials ?? false,
    allowMethods: raw.allowMethods ?? [],
    allowHeaders: raw.allowHeaders ?? [],
    exposeHeaders: raw.exposeHeaders ?? [],
    maxAge: raw.maxAge ?? 5,
  };
}

function mirrorOf(raw: NonNullable<RouteFilter["requestMirror"]>, field: string, context: BackendContext): Mirror {
  const fraction = raw.fraction === undefined ? undefined : raw.fraction.numerator / (raw.fraction.denominator ?? 100);
  const share = fraction ?? (raw.percent ?? 100) / 100;
  return { backend: resolveBackend(context, raw.backendRef, `${field}.backendRef`), share };
}

/** What a list of filters comes to: changes on the way, and an answer that needs no backend, if there is one. */
export interface TranslatedFilters {
  readonly filters: Filters;
  readonly answer?: RuleAction;
}

/** Problems of a filter make its rule unbuildable: a filter is never skipped (B37). */
export function translateFilters(located: readonly LocatedFilter[], context: BackendContext): TranslatedFilters {
  if (located.length === 0) return { filters: NO_FILTERS };
  const out: { -readonly [K in keyof Filters]: Filters[K] } = { mirrors: NO_MIRRORS };
  let answer: RuleAction | undefined;
  for (const { filter, field } of located) {
    const {
      requestHeaderModifier,
      responseHeaderModifier,
      urlRewrite,
      cors,
      requestMirror,
      requestRedirect,
      directResponse,
    } = filter;
    if (requestHeaderModifier)
      out.requestHeaders = headerChanges(requestHeaderModifier, `${field}.requestHeaderModifier`, context.problems);
    if (responseHeaderModifier)
      out.responseHeaders = headerChanges(responseHeaderModifier, `${field}.responseHeaderModifier`, context.problems);
    if (urlRewrite) out.rewrite = rewriteOf(urlRewrite, `${field}.urlRewrite`, context.problems);
    if (cors) out.cors = corsOf(cors);
    if (requestMirror) out.mirrors = [...out.mirrors, mirrorOf(requestMirror, `${field}.requestMirror`, context)];
    if (requestRedirect)
      answer = {
        kind: "redirect",
        redirect: redirectOf(requestRedirect, `${field}.requestRedirect`, context.problems),
      };
    if (directResponse) answer = respond(directResponse);
    if (filter.type === "ExtensionRef")
      context.problems.spec(`${field}.extensionRef`, "no extension filter is supported");
    if (filter.type === "ExternalAuth")
      context.problems.spec(`${field}.externalAuth`, "ExternalAuth is not served yet");
  }
  return answer === undefined ? { filters: out } : { filters: out, answer };
}

function respond({ statusCode, body = "", contentType }: NonNullable<RouteFilter["directResponse"]>): RuleAction {
  return {
    kind: "respond",
    statusCode,
    body,
    contentType: contentType ?? (body === "" ? "" : "text/plain; charset=utf-8"),
  };
}
