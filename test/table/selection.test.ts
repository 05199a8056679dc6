import { queryObjects } from "node:v8";
import { describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import { RouteMatch } from "../../src/api/match.ts";
import { pathMatches, unmetCondition, type RequestView } from "../../src/routing/match.ts";
import { PatternBudget } from "../../src/routing/pattern-budget.ts";
import { type MatchEntry, byPrecedence } from "../../src/routing/precedence.ts";
import type { RouteRule } from "../../src/routing/rule.ts";
import { VirtualHost } from "../../src/routing/virtual-host.ts";
import { NO_FILTERS } from "../../src/translate/filters.ts";
import { translateMatch } from "../../src/translate/match.ts";
import { DEFAULT_POLICY } from "../../src/translate/policies.ts";
import { Problems } from "../../src/translate/problems.ts";
import { fc } from "../support/property.ts";

function entryOf(match: unknown, number: number): MatchEntry {
  const translated = translateMatch(RouteMatch.parse(match), "m", new Problems());
  if (translated === undefined) throw new Error("the match cannot be built");
  const rule: RouteRule = {
    route: keyOf("ServiceRoute", "default", `r${number}`),
    name: "rules[0]",
    index: 0,
    action: { kind: "fail", reason: "NoBackends", message: "" },
    filters: NO_FILTERS,
    policy: DEFAULT_POLICY,
  };
  return { match: translated, rule, createdAt: "", index: 0 };
}

interface Said {
  readonly path: string;
  readonly values: Readonly<Record<string, string>>;
}

/** @param asked  Told of every value that is looked at. */
function requestOf({ path, values }: Said, asked: () => void = () => undefined): RequestView {
  const value = (name: string): string | undefined => {
    asked();
    return values[name];
  };
  return { method: "GET", path, header: value, cookie: value, query: value, patterns: new PatternBudget() };
}

/** The same, and which patterns are tried on it. */
function recordingRequest(said: Said): { request: RequestView; patterns: string[] } {
  const patterns: string[] = [];
  const budget = new PatternBudget();
  const recording = new Proxy(budget, {
    get: (_, name) => {
      const value: unknown = Reflect.get(budget, name, budget);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        const [pattern, text] = args as [{ source: string }, string];
        if (name === "matches") patterns.push(`${pattern.source} ${text}`);
        return Reflect.apply(value, budget, args);
      };
    },
  });
  return { request: { ...requestOf(said), patterns: recording }, patterns };
}

const winnerOf = (entries: readonly MatchEntry[], request: RequestView): MatchEntry | undefined =>
  [...entries]
    .sort(byPrecedence)
    .find(
      ({ match }) =>
        pathMatches(match.path, request.path, request.patterns) && unmetCondition(match, request) === undefined,
    );

const text = fc.constantFrom("0", "1", "2", "3", "4");
const name = fc.constantFrom(..."a b c d e f g h i j k l m n o p".split(" "));
const condition = fc.record({
  // Few that many ask for, and many that few ask for.
  name: fc.oneof(fc.constantFrom("a", "b", "c"), name),
  value: text,
  type: fc.constantFrom("Exact", "Exact", "Exact", "RegularExpression"),
});
const conditions = fc.uniqueArray(condition, { maxLength: 2, selector: ({ name }) => name });
const segment = fc.constantFrom("x", "y", "[a-z]+", "z.*", "(x|y)");
const path = fc.oneof(
  fc.constant({ type: "PathPrefix", value: "/" }),
  fc.constant({ type: "Exact", value: "/x/y" }),
  fc
    .array(segment, { minLength: 1, maxLength: 4 })
    .map((segments) => ({ type: "RegularExpression", value: `/${segments.join("/")}` })),
);
const match = fc.record({ path, headers: conditions, cookies: conditions, queryParams: conditions });
const request = fc.record({
  path: fc.array(fc.constantFrom("x", "y", "z", "q"), { maxLength: 4 }).map((segments) => `/${segments.join("/")}`),
  values: fc.dictionary(name, text, { minKeys: 0, maxKeys: 16, size: "max" }),
});

describe("many matches of one path", () => {
  test("the winner is the one of a search through all of them, whatever came and went", () => {
    fc.assert(
      fc.property(
        fc.array(match, { minLength: 20, maxLength: 300 }),
        fc.array(fc.nat(), { maxLength: 200 }),
        fc.array(request, { minLength: 1, maxLength: 20 }),
        (matches, leaving, requests) => {
          const host = new VirtualHost();
          const entries = matches.map(entryOf);
          const look = (): void => {
            for (const said of requests) expect(host.match(requestOf(said))).toBe(winnerOf(entries, requestOf(said)));
          };
          for (const [i, entry] of entries.entries()) {
            host.add(entry);
            // Once it has been asked, what is long is told apart, and every change after that has to be told too.
            if (i === 18) host.match(requestOf(requests[0]!));
          }
          look();
          for (const place of leaving) {
            const [gone] = entries.splice(place % Math.max(entries.length, 1), 1);
            if (gone !== undefined) host.remove(gone);
          }
          look();
        },
      ),
      { numRuns: 150 },
    );
  });

  test.for([
    ["a header", "headers", (i: number) => ({ path: { value: "/" }, headers: [{ name: "t", value: `v${i}` }] })],
    ["a cookie", "cookies", (i: number) => ({ path: { value: "/" }, cookies: [{ name: "t", value: `v${i}` }] })],
    ["a parameter", "query", (i: number) => ({ path: { value: "/" }, queryParams: [{ name: "t", value: `v${i}` }] })],
  ] as const)("that differ by the value of %s cost no search", ([, , matchOf]) => {
    const host = new VirtualHost();
    const entries = Array.from({ length: 5000 }, (_, i) => entryOf(matchOf(i), i));
    for (const entry of entries) host.add(entry);
    let looks = 0;
    const asked = requestOf({ path: "/shop", values: { t: "v4321" } }, () => looks++);
    expect(host.match(asked)).toBe(entries[4321]);
    looks = 0;
    host.match(asked);
    expect(looks).toBeLessThan(40);
  });

  test("patterns that begin with different segments cost no search", () => {
    const host = new VirtualHost();
    const patternOf = (i: number): unknown => ({ path: { type: "RegularExpression", value: `/api/t${i}/[0-9]+` } });
    const entries = Array.from({ length: 2000 }, (_, i) => entryOf(patternOf(i), i));
    for (const entry of entries) host.add(entry);
    let looks = 0;
    const counting = new Proxy(new PatternBudget(), {
      get: (budget, name) => {
        if (name === "matches") looks++;
        const value: unknown = Reflect.get(budget, name, budget);
        return typeof value === "function" ? (value.bind(budget) as unknown) : value;
      },
    });
    const asked = { ...requestOf({ path: "/api/t1234/5", values: {} }), patterns: counting };
    expect(host.match(asked)).toBe(entries[1234]);
    expect(looks).toBeLessThan(40);
  });

  test("patterns are tried in order of precedence, none that a plain search would not have tried", () => {
    fc.assert(
      fc.property(fc.array(match, { minLength: 20, maxLength: 100 }), request, (matches, said) => {
        const entries = matches.map(entryOf);
        const host = new VirtualHost();
        for (const entry of entries) host.add(entry);
        const [tried, wouldBeTried] = [recordingRequest(said), recordingRequest(said)];
        expect(host.match(tried.request)).toBe(winnerOf(entries, wouldBeTried.request));
        let at = 0;
        for (const pattern of tried.patterns) {
          at = wouldBeTried.patterns.indexOf(pattern, at) + 1;
          expect(at).toBeGreaterThan(0);
        }
      }),
      { numRuns: 200 },
    );
  });

  test.for([
    ["a path", (i: number) => ({ path: { type: "RegularExpression", value: `/[a-z]+${i}` } })],
    ["a header", (i: number) => ({ headers: [{ name: "h0", type: "RegularExpression", value: `[a-z]+${i}` }] })],
  ] as const)("no pattern of %s is tried for a request that does not meet the rest", ([, patternOf]) => {
    const host = new VirtualHost();
    for (let i = 0; i < 100; i++)
      host.add(entryOf({ ...patternOf(i), method: "POST", cookies: [{ name: "h0", value: "v" }] }, i));
    const { request, patterns } = recordingRequest({ path: "/shop7", values: { h0: "v", h1: "v" } });
    expect(host.match(request)).toBeUndefined();
    expect(patterns).toEqual([]);
  });

  test("patterns of ever more segments cost no lookup for each of them", () => {
    const host = new VirtualHost();
    for (let i = 1; i < 200; i++)
      host.add(entryOf({ path: { type: "RegularExpression", value: `/${"s/".repeat(i)}[0-9]+` } }, i));
    let looks = 0;
    const asked = requestOf({ path: "/shop", values: {} });
    expect(
      host.match({
        ...asked,
        get path() {
          return (looks++, asked.path);
        },
      }),
    ).toBeUndefined();
    expect(looks).toBeLessThan(20);
  });

  test("that ask for more headers than a request has cost no more than a search", () => {
    const host = new VirtualHost();
    const nameOf = (i: number): unknown => ({
      path: { value: "/" },
      headers: [{ name: `t${Math.floor(i / 6)}`, value: `v${i}` }],
    });
    const entries = Array.from({ length: 10_000 }, (_, i) => entryOf(nameOf(i), i));
    const before = queryObjects(Array, { format: "count" });
    for (const entry of entries) host.add(entry);
    expect(queryObjects(Array, { format: "count" }) - before).toBeLessThan(1.1 * entries.length);
    let looks = 0;
    expect(host.match(requestOf({ path: "/", values: { t1000: "v6001" } }, () => looks++))).toBe(entries[6001]);
    expect(looks).toBeLessThan(entries.length / 5);
  });

  test.for([
    ["of another method", { method: "POST" }],
    ["with a pattern", { queryParams: [{ name: "q", type: "RegularExpression", value: "no.*" }] }],
  ] as const)("%s that a request meets in part by many headers cost no comparing of them all", ([, other]) => {
    let compared = 0;
    const host = new VirtualHost();
    for (let i = 0; i < 4096; i++) {
      const match = { path: { value: "/" }, ...other, headers: [{ name: `h${i % 8}`, value: "v" }] };
      const entry = entryOf(match, i);
      host.add({
        ...entry,
        get createdAt() {
          return (compared++, entry.createdAt);
        },
      });
    }
    const values = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`h${i}`, "v"]));
    compared = 0;
    expect(host.match(requestOf({ path: "/", values }))).toBeUndefined();
    expect(compared).toBeLessThan(100);
  });

  test.for([
    ["values", (i: number) => ({ name: "t", value: `v${i}` })],
    ["names", (i: number) => ({ name: `t${i}`, value: "v" })],
  ] as const)("nothing is kept of %s that no route asks for any more", ([, headerOf]) => {
    const matchOf = (i: number): MatchEntry => entryOf({ path: { value: "/" }, headers: [headerOf(i)] }, i);
    const host = new VirtualHost();
    for (let i = 0; i < 40; i++) host.add(matchOf(i));
    const count = (): number => queryObjects(Map, { format: "count" }) + queryObjects(Array, { format: "count" });
    const before = count();
    for (let from = 1000; from < 2000; from += 20) {
      const passing = Array.from({ length: 20 }, (_, i) => matchOf(from + i));
      for (const entry of passing) host.add(entry);
      host.match(requestOf({ path: "/", values: { t: "v1" } }));
      for (const entry of passing) host.remove(entry);
    }
    expect(count() - before).toBeLessThan(100);
    expect(host.match(requestOf({ path: "/", values: { t: "v1", t1: "v" } }))).toBeDefined();
  });
});
