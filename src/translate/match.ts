import type { RouteMatch } from "../api/match.ts";
import { compileRegex } from "../routing/regex.ts";
import { normalisePath } from "../routing/request-path.ts";
import type { PathMatch, RequestMatch, ValueMatch } from "../routing/rule.ts";
import { compact } from "./compact.ts";
import type { Problems } from "./problems.ts";

type RawValue = {
  readonly type?: "Exact" | "RegularExpression" | undefined;
  readonly name: string;
  readonly value: string;
};

const ROOT: PathMatch = Object.freeze({ kind: "prefix", value: "" });

const trimmed = (prefix: string): string => (prefix.endsWith("/") ? prefix.slice(0, -1) : prefix);

function regexPath(source: string, field: string, problems: Problems): PathMatch | undefined {
  const compiled = compileRegex(source);
  if (compiled.ok) return { kind: "regex", regex: compiled.regex };
  problems.spec(field, compiled.message);
  return undefined;
}

function pathOf(path: RouteMatch["path"], field: string, problems: Problems): PathMatch | undefined {
  if (path === undefined) return ROOT;
  const value = path.value ?? "/";
  if (path.type === "RegularExpression") return regexPath(value, `${field}.value`, problems);
  // Requests are matched in one form (`/~a`, never `/%7ea`): a path in another could never be met.
  const normal = normalisePath(value);
  if (!normal.ok) {
    problems.spec(`${field}.value`, `${JSON.stringify(value)} has ${normal.problem}`);
    return undefined;
  }
  if (path.type === "Exact") return { kind: "exact", value: normal.path };
  return normal.path === "/" ? ROOT : { kind: "prefix", value: trimmed(normal.path) };
}

const escaped = (text: string): string => text.replaceAll(/[.^$*+?()[\]{}|\\]/g, "\\$&");

/** A gRPC call is a request to `/service/method`; service and method count as one exact path. */
function grpcPath(grpc: NonNullable<RouteMatch["grpc"]>, field: string, problems: Problems): PathMatch | undefined {
  const { type = "Exact", service, method } = grpc;
  if (type === "Exact" && service !== undefined) {
    return method === undefined
      ? { kind: "prefix", value: `/${service}` }
      : { kind: "exact", value: `/${service}/${method}` };
  }
  const part = (value: string | undefined): string =>
    value === undefined ? "[^/]+" : type === "Exact" ? escaped(value) : `(?:${value})`;
  return regexPath(`/${part(service)}/${part(method)}`, field, problems);
}

/** Of entries with equal names only the first counts (Gateway API); a pattern that does not compile is a problem. */
function valuesOf(
  raw: readonly RawValue[] | undefined,
  field: string,
  fold: (name: string) => string,
  problems: Problems,
): readonly ValueMatch[] {
  if (raw === undefined || raw.length === 0) return compact([]);
  const byName = new Map<string, ValueMatch>();
  for (const [i, { type, name: written, value }] of raw.entries()) {
    const name = fold(written);
    if (byName.has(name)) continue;
    if (type !== "RegularExpression") {
      byName.set(name, { kind: "exact", name, value });
      continue;
    }
    const compiled = compileRegex(value);
    if (compiled.ok) byName.set(name, { kind: "regex", name, regex: compiled.regex });
    else problems.spec(`${field}[${i}].value`, compiled.message);
  }
  return [...byName.values()];
}

const asIs = (name: string): string => name;
const lower = (name: string): string => name.toLowerCase();

/** @returns undefined when the match cannot be built; `problems` then says why. */
export function translateMatch(match: RouteMatch, field: string, problems: Problems): RequestMatch | undefined {
  const before = problems.count;
  const path =
    match.grpc === undefined
      ? pathOf(match.path, `${field}.path`, problems)
      : grpcPath(match.grpc, `${field}.grpc`, problems);
  const headers = valuesOf(match.headers, `${field}.headers`, lower, problems);
  const cookies = valuesOf(match.cookies, `${field}.cookies`, asIs, problems);
  const queryParams = valuesOf(match.queryParams, `${field}.queryParams`, asIs, problems);
  if (match.method === "TRACE" || match.method === "CONNECT")
    problems.spec(`${field}.method`, `${match.method} requests are answered 405 before any route is asked`);
  if (path === undefined || problems.count > before) return undefined;
  return { path, ...(match.method === undefined ? {} : { method: match.method }), headers, cookies, queryParams };
}
