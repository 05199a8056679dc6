import type { WrittenMatch, WrittenRoute, WrittenValue } from "./random-routes.ts";

export interface AskedFor {
  readonly host: string;
  readonly method: string;
  readonly path: string;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly cookies: ReadonlyMap<string, string>;
  /** All values of a parameter, in order. */
  readonly query: ReadonlyMap<string, readonly string[]>;
}

/** Mistakes that an implementation could make; each is put into the oracle to see that the comparison would notice. */
export const SEEDED_BUGS = [
  "a prefix does not end at a segment",
  "a trailing slash of a prefix counts",
  "a pattern matches a part",
  "prefixes before patterns",
  "shorter prefixes first",
  "a method decides nothing",
  "the number of headers decides nothing",
  "the newest wins",
  "header names keep their case",
  "a wildcard covers its apex",
  "a host without a match falls through to the wildcard",
  "any value of a parameter counts",
  "cookies are not looked at",
] as const;
export type SeededBug = (typeof SEEDED_BUGS)[number];

/** `route rule-index match-index` of the winner by docs/api.md, by looking at everything; undefined: nobody takes the request. */
export function winnerOf(routes: readonly WrittenRoute[], asked: AskedFor, bug?: SeededBug): string | undefined {
  const named = new Set(routes.flatMap(({ hostnames }) => (hostnames.length === 0 ? ["*"] : hostnames)));
  const covering = [...named]
    .filter((name) => covers(name, asked.host, bug))
    .sort((a, b) => Number(a.startsWith("*")) - Number(b.startsWith("*")) || b.length - a.length);
  for (const hostname of covering) {
    const found = winnerAt(routes, hostname, asked, bug);
    if (found !== undefined || bug !== "a host without a match falls through to the wildcard") return found;
  }
  return undefined;
}

function covers(name: string, host: string, bug?: SeededBug): boolean {
  if (name === "*" || name === host) return true;
  if (!name.startsWith("*.")) return false;
  return host.endsWith(name.slice(1)) || (bug === "a wildcard covers its apex" && host === name.slice(2));
}

function winnerAt(routes: readonly WrittenRoute[], hostname: string, asked: AskedFor, bug?: SeededBug) {
  const here = routes.filter(({ hostnames }) => (hostnames.length === 0 ? ["*"] : hostnames).includes(hostname));
  const met = here.flatMap((route) =>
    route.rules.flatMap(({ matches }, rule) =>
      matches.map((match, index) => ({ route, rule, match, index })).filter(({ match }) => meets(match, asked, bug)),
    ),
  );
  const rank = ({ route, rule, match, index }: (typeof met)[number]): (number | string)[] => [
    ...pathRank(match, bug),
    bug === "a method decides nothing" || match.method === undefined ? 1 : 0,
    bug === "the number of headers decides nothing" ? 0 : -(match.headers?.length ?? 0),
    -(match.cookies?.length ?? 0),
    -(match.queryParams?.length ?? 0),
    bug === "the newest wins" ? -Date.parse(route.createdAt) : Date.parse(route.createdAt),
    route.name,
    rule,
    index,
  ];
  const [best] = met.sort((a, b) => compare(rank(a), rank(b)));
  return best === undefined ? undefined : `${best.route.name} ${best.rule} ${best.index}`;
}

function compare(a: readonly (number | string)[], b: readonly (number | string)[]): number {
  for (const [i, one] of a.entries()) {
    const other = b[i] ?? 0;
    if (one !== other) return one < other ? -1 : 1;
  }
  return 0;
}

function pathRank({ path, grpc }: WrittenMatch, bug?: SeededBug): number[] {
  const [pattern, prefix] = bug === "prefixes before patterns" ? [2, 1] : [1, 2];
  if (grpc !== undefined) return grpc.method === undefined ? [prefix, -grpc.service.length - 1] : [0, 0];
  const { type = "PathPrefix", value = "/" } = path ?? {};
  if (type === "Exact") return [0, 0];
  if (type === "RegularExpression") return [pattern, -value.length];
  const length = value.replace(/\/$/, "").length;
  return [prefix, bug === "shorter prefixes first" ? length : -length];
}

function meets(match: WrittenMatch, asked: AskedFor, bug?: SeededBug): boolean {
  const all = (list: readonly WrittenValue[] | undefined, valueOf: (name: string) => readonly string[]): boolean =>
    (list ?? []).every(({ type, name, value }) =>
      valueOf(name).some((one) => (type === "Exact" ? one === value : new RegExp(`^(?:${value})$`, "s").test(one))),
    );
  const header = (name: string): string[] => {
    const found = asked.headers.get(bug === "header names keep their case" ? name : name.toLowerCase());
    return found === undefined ? [] : [found];
  };
  const query = (name: string): readonly string[] => {
    const values = asked.query.get(name) ?? [];
    return bug === "any value of a parameter counts" ? values : values.slice(0, 1);
  };
  const cookie = (name: string): string[] => [asked.cookies.get(name) ?? []].flat();
  return (
    pathMeets(match, asked.path, bug) &&
    (match.method === undefined || match.method === asked.method) &&
    all(match.headers, header) &&
    all(match.queryParams, query) &&
    (bug === "cookies are not looked at" || all(match.cookies, cookie))
  );
}

function pathMeets({ path, grpc }: WrittenMatch, asked: string, bug?: SeededBug): boolean {
  if (grpc !== undefined) {
    const { service, method } = grpc;
    return method === undefined ? within(`/${service}`, asked, bug) : asked === `/${service}/${method}`;
  }
  const { type = "PathPrefix", value = "/" } = path ?? {};
  if (type === "Exact") return asked === value;
  if (type === "PathPrefix") return within(value, asked, bug);
  return new RegExp(bug === "a pattern matches a part" ? value : `^(?:${value})$`, "s").test(asked);
}

function within(prefix: string, asked: string, bug?: SeededBug): boolean {
  const trimmed = bug === "a trailing slash of a prefix counts" ? prefix : prefix.replace(/\/$/, "");
  if (bug === "a prefix does not end at a segment" || trimmed.endsWith("/")) return asked.startsWith(trimmed);
  return asked === trimmed || asked.startsWith(`${trimmed}/`);
}
