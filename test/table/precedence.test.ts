import { fc } from "../support/property.ts";
import { describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import { RouteMatch } from "../../src/api/match.ts";
import { type MatchEntry, byPrecedence, decidingStep } from "../../src/routing/precedence.ts";
import type { RouteRule } from "../../src/routing/rule.ts";
import { NO_FILTERS } from "../../src/translate/filters.ts";
import { translateMatch } from "../../src/translate/match.ts";
import { DEFAULT_POLICY } from "../../src/translate/policies.ts";
import { Problems } from "../../src/translate/problems.ts";

interface Given {
  readonly match?: RouteMatch;
  readonly createdAt?: string;
  readonly route?: string;
  readonly rule?: number;
  readonly index?: number;
}

function entry({ match = {}, createdAt = "", route = "a", rule = 0, index = 0 }: Given): MatchEntry {
  const translated = translateMatch(RouteMatch.parse(match), "m", new Problems());
  if (translated === undefined) throw new Error("the match cannot be built");
  const owner: RouteRule = {
    route: keyOf("ServiceRoute", "default", route),
    name: `rules[${rule}]`,
    index: rule,
    action: { kind: "fail", reason: "NoBackends", message: "" },
    filters: NO_FILTERS,
    policy: DEFAULT_POLICY,
  };
  return { match: translated, rule: owner, createdAt, index };
}

const path = (type: "Exact" | "PathPrefix" | "RegularExpression", value: string): RouteMatch => ({
  path: { type, value },
});

describe("B26: which match wins", () => {
  test.for<[string, Given, Given, string]>([
    [
      "an exact path before a pattern",
      { match: path("Exact", "/a") },
      { match: path("RegularExpression", "/aaaaaaaaaa") },
      "path",
    ],
    [
      "a pattern before a prefix",
      { match: path("RegularExpression", "/a") },
      { match: path("PathPrefix", "/aaaa") },
      "path",
    ],
    [
      "a longer pattern",
      { match: path("RegularExpression", "/aa") },
      { match: path("RegularExpression", "/b") },
      "path",
    ],
    ["a longer prefix", { match: path("PathPrefix", "/a/b") }, { match: path("PathPrefix", "/a") }, "path"],
    [
      "gRPC service and method are an exact path",
      { match: { grpc: { service: "s", method: "m" } } },
      { match: path("PathPrefix", "/s/m") },
      "path",
    ],
    ["gRPC service alone is a prefix", { match: path("Exact", "/s") }, { match: { grpc: { service: "s" } } }, "path"],
    ["a method", { match: { method: "GET" } }, { match: { headers: [{ name: "a", value: "1" }] } }, "method"],
    [
      "more headers",
      { match: { headers: [{ name: "a", value: "1" }] } },
      { match: { cookies: [{ name: "c", value: "1" }] } },
      "header count",
    ],
    [
      "more cookies",
      { match: { cookies: [{ name: "c", value: "1" }] } },
      { match: { queryParams: [{ name: "q", value: "1" }] } },
      "cookie count",
    ],
    ["more query parameters", { match: { queryParams: [{ name: "q", value: "1" }] } }, {}, "query parameter count"],
    [
      "the older route",
      { createdAt: "2026-01-01T00:00:00Z", route: "z" },
      { createdAt: "2026-01-02T00:00:00Z", route: "a" },
      "age",
    ],
    [
      "a known age before an unknown one",
      { createdAt: "2026-01-01T00:00:00Z", route: "b" },
      { createdAt: "", route: "a" },
      "age",
    ],
    ["the name, when no age is known", { route: "a" }, { route: "b" }, "name"],
    ["the earlier rule", { rule: 0, index: 5 }, { rule: 1, index: 0 }, "rule order"],
    ["the earlier match", { index: 0 }, { index: 1 }, "rule order"],
  ])("%s", ([, winner, loser, step]) => {
    const [w, l] = [entry(winner), entry(loser)];
    expect(Math.sign(byPrecedence(w, l))).toBe(-1);
    expect(Math.sign(byPrecedence(l, w))).toBe(1);
    expect(decidingStep(w, l)).toBe(step);
  });

  test("a trailing slash of a prefix makes no difference", () => {
    expect(byPrecedence(entry({ match: path("PathPrefix", "/a/") }), entry({ match: path("PathPrefix", "/a") }))).toBe(
      0,
    );
  });

  test("B42: names that read alike when joined are kept apart", () => {
    expect(keyOf("ServiceRoute", "a-b", "c")).not.toBe(keyOf("ServiceRoute", "a", "b-c"));
  });

  test("sorting does not depend on the order of arrival", () => {
    const entries = [
      ...["/a", "/a/b", "/c"].map((value, rule) => entry({ match: path("PathPrefix", value), rule })),
      ...["x", "y"].map((route) => entry({ match: path("Exact", "/a"), route })),
      entry({ match: { method: "GET" }, rule: 7 }),
    ];
    const want = [...entries].sort(byPrecedence);
    fc.assert(
      fc.property(fc.shuffledSubarray(entries, { minLength: entries.length }), (shuffled) => {
        expect([...shuffled].sort(byPrecedence)).toEqual(want);
      }),
    );
  });
});
