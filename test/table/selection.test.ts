import { queryObjects } from "node:v8";
import { describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import { RouteMatch } from "../../src/api/match.ts";
import { pathMatches, unmetCondition, type RequestView } from "../../src/routing/match.ts";
import { PatternBudget } from "../../src/routing/pattern-budget.ts";
import { type MatchEntry, byPrecedence } from "../../src/routing/precedence.ts";
import type { RouteRule } from "../../src/routing/rule.ts";
import { Selection } from "../../src/routing/selection.ts";
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

const winnerOf = (entries: readonly MatchEntry[], request: RequestView): MatchEntry | undefined =>
  [...entries]
    .sort(byPrecedence)
    .find(
      ({ match }) =>
        pathMatches(match.path, request.path, request.patterns) && unmetCondition(match, request) === undefined,
    );

const text = fc.constantFrom("0", "1", "2", "3", "4");
const condition = fc.record({
  name: fc.constantFrom("a", "b", "c"),
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
  values: fc.dictionary(fc.constantFrom("a", "b", "c"), text),
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

  test("nothing is kept of values that no route asks for any more", () => {
    const valueOf = (i: number): MatchEntry =>
      entryOf({ path: { value: "/" }, headers: [{ name: "t", value: `v${i}` }] }, i);
    const host = new VirtualHost();
    for (let i = 0; i < 40; i++) host.add(valueOf(i));
    host.match(requestOf({ path: "/", values: { t: "v1" } }));
    const before = queryObjects(Selection, { format: "count" });
    for (let i = 1000; i < 2000; i++) {
      const entry = valueOf(i);
      host.add(entry);
      host.remove(entry);
    }
    expect(queryObjects(Selection, { format: "count" })).toBe(before);
    expect(host.match(requestOf({ path: "/", values: { t: "v1" } }))).toBeDefined();
  });
});
