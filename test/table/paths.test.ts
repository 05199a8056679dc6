import { describe, expect, test } from "vitest";
import { RouteMatch } from "../../src/api/match.ts";
import { pathMatches } from "../../src/routing/match.ts";
import { PatternBudget } from "../../src/routing/pattern-budget.ts";
import { compileRegex, highestGroup } from "../../src/routing/regex.ts";
import { normalisePath } from "../../src/routing/request-path.ts";
import { changedPath, redirectLocation } from "../../src/routing/rewrite.ts";
import { translateMatch } from "../../src/translate/match.ts";
import { Problems } from "../../src/translate/problems.ts";

const ANY = new PatternBudget();

function matcher(match: RouteMatch) {
  const built = translateMatch(RouteMatch.parse(match), "m", new Problems());
  if (built === undefined) throw new Error("the match cannot be built");
  return built.path;
}

describe("path matches", () => {
  test.for([
    ["PathPrefix", "/foo", "/foo", true],
    ["PathPrefix", "/foo", "/foo/", true],
    ["PathPrefix", "/foo", "/foo/bar", true],
    ["PathPrefix", "/foo", "/foobar", false],
    ["PathPrefix", "/foo", "/FOO", false],
    ["PathPrefix", "/foo/", "/foo", true],
    ["PathPrefix", "/", "/anything", true],
    ["Exact", "/foo", "/foo", true],
    ["Exact", "/foo", "/foo/", false],
    ["RegularExpression", "/v[0-9]+", "/v12", true],
    ["RegularExpression", "/v[0-9]+", "/v12/x", false],
    ["RegularExpression", "/a.c", "/a\nc", true],
  ] as const)("B25, B23: %s %s on %j: %s", ([type, value, path, matches]) => {
    expect(pathMatches(matcher({ path: { type, value } }), path, ANY)).toBe(matches);
  });

  test.for([
    [{ service: "shop.Cart", method: "Add" }, "/shop.Cart/Add", true],
    [{ service: "shop.Cart", method: "Add" }, "/shop.Cart/AddAll", false],
    [{ service: "shop.Cart" }, "/shop.Cart/Anything", true],
    [{ service: "shop.Cart" }, "/shop.CartX/Add", false],
    [{ method: "Add" }, "/any.Service/Add", true],
    [{ type: "RegularExpression", service: "shop\\..*", method: "(Add|Remove)" }, "/shop.Cart/Remove", true],
  ] as const)("gRPC %j on %s: %s", ([grpc, path, matches]) => {
    expect(pathMatches(matcher({ grpc }), path, ANY)).toBe(matches);
  });

  test.for([
    "x",
    "/a//b",
    "/a/../b",
    "/a/..",
    "/a/./b",
    "/a%2fb",
    "/a%00",
    "/a b",
    "/a?b",
    "/a#b",
    `/${"a".repeat(1025)}`,
    "/a%zz",
  ])("B24: the value %j is refused", (value) => {
    expect(RouteMatch.safeParse({ path: { type: "Exact", value } }).success).toBe(false);
  });
});

test("B24: a path that no request can have is a problem of its match, even where the schema let it through", () => {
  const problems = new Problems();
  const match = RouteMatch.parse({ path: { type: "Exact", value: "/a" } });
  expect(translateMatch({ ...match, path: { type: "Exact", value: "/a%2fb" } }, "m", problems)).toBeUndefined();
  expect(problems.specErrors).toEqual([
    { field: "m.path.value", reason: "UnsupportedValue", message: '"/a%2fb" has an escaped separator or NUL' },
  ]);
});

test("of headers of one name, in whatever letters, the first counts", () => {
  const headers = [
    { name: "X-A", value: "1" },
    { name: "x-a", value: "2" },
  ];
  const built = translateMatch(RouteMatch.parse({ headers }), "m", new Problems());
  expect(built?.headers).toEqual([{ kind: "exact", name: "x-a", value: "1" }]);
});

describe("patterns", () => {
  test.for(["(?=a)b", "(a)\\1", "a{1001}", "(?>a)", "a++", "(", "[z-a]", "a".repeat(1025)])(
    "B22: %s is refused",
    (source) => {
      expect(compileRegex(source).ok).toBe(false);
    },
  );

  test("B22: one of 1,024 characters is taken, a longer one named as what it is", () => {
    expect(compileRegex("a".repeat(1024)).ok).toBe(true);
    expect(compileRegex("a".repeat(1025))).toEqual({ ok: false, message: "pattern is longer than 1024 characters" });
  });

  test("B21: one that its repeat counts make large is refused, as every character of a request would pay for it", () => {
    expect(compileRegex(".{0,998}").ok).toBe(true);
    expect(compileRegex(".{0,1000}")).toEqual({
      ok: false,
      message: "pattern compiles to 2002 instructions, more than 2000; make its repeat counts smaller",
    });
    expect(compileRegex(".{0,1000}".repeat(113)).ok).toBe(false);
  });

  test("the highest group of a substitution, where a backslash may stand for itself", () => {
    expect([String.raw`\\\9`, String.raw`\1\3\2`, String.raw`\\`, "x", String.raw`\0`].map(highestGroup)).toEqual([
      9, 3, -1, -1, 0,
    ]);
  });

  test.for(["(a+)+$", "(.*a){20}"])("B21, S22: %s takes linear time", (source) => {
    const compiled = compileRegex(source);
    if (!compiled.ok) throw new Error(compiled.message);
    const started = performance.now();
    compiled.regex.matches(`${"a".repeat(5000)}!`);
    expect(performance.now() - started).toBeLessThan(2000);
  });
});

describe("one form of a request path", () => {
  test.for([
    ["/a/b", "/a/b"],
    ["/a/../b", "/b"],
    ["/a/./b", "/a/b"],
    ["/../../x", "/x"],
    ["/%2e%2e/b", "/b"],
    ["//a//b", "/a/b"],
    ["/%41", "/A"],
    ["/%c3%bc", "/%C3%BC"],
    ["/a;x=y/b", "/a;x=y/b"],
    ["/%252e", "/%252e"],
    ["/a/", "/a/"],
    ["/a/..", "/"],
    ["/a/b/.", "/a/b/"],
    ["/a/b/..", "/a/"],
    ["/..", "/"],
  ] as const)("B49: %s is %s", ([raw, path]) => {
    expect(normalisePath(raw)).toEqual({ ok: true, path });
  });

  test.for([
    ["/%2f", "an escaped separator or NUL"],
    ["/%5c", "an escaped separator or NUL"],
    ["/%00", "an escaped separator or NUL"],
    ["/%zz", "a % that is no escape"],
    ["/%4", "a % that is no escape"],
    ["/a\\b", "a character that no path may hold"],
    ["/a#b", "a character that no path may hold"],
    ["/a b", "a character that no path may hold"],
    ["*", "a target that does not start with /"],
    ["http://x/", "a target that does not start with /"],
  ] as const)("B49: %j is refused: %s", ([raw, problem]) => {
    expect(normalisePath(raw)).toEqual({ ok: false, problem });
  });
});

describe("B36: a replaced prefix, as Gateway API's table has it", () => {
  test.for([
    ["/foo/bar", "/foo", "/xyz", "/xyz/bar"],
    ["/foo/bar", "/foo", "/xyz/", "/xyz/bar"],
    ["/foo/bar", "/foo/", "/xyz", "/xyz/bar"],
    ["/foo/bar", "/foo/", "/xyz/", "/xyz/bar"],
    ["/foo", "/foo", "/xyz", "/xyz"],
    ["/foo/", "/foo", "/xyz", "/xyz/"],
    ["/foo/bar", "/foo", "", "/bar"],
    ["/foo/", "/foo", "", "/"],
    ["/foo", "/foo", "", "/"],
    ["/foo/", "/foo", "/", "/"],
    ["/foo", "/foo", "/", "/"],
    ["/a/b", "/", "/x", "/x/a/b"],
  ] as const)("%s with prefix %s replaced by %j is %s", ([path, prefix, value, result]) => {
    expect(
      changedPath(path, { kind: "prefix", value }, matcher({ path: { type: "PathPrefix", value: prefix } }), ANY),
    ).toBe(result);
  });

  test("of a match that is none it replaces everything", () => {
    const compiled = compileRegex("/foo.*");
    if (!compiled.ok) throw new Error(compiled.message);
    expect(
      changedPath("/foo/bar", { kind: "prefix", value: "/xyz" }, { kind: "regex", regex: compiled.regex }, ANY),
    ).toBe("/xyz");
  });
});

describe("replacing by pattern", () => {
  const change = (pattern: string, substitution: string, path: string): string | undefined => {
    const compiled = compileRegex(pattern);
    if (!compiled.ok) throw new Error(compiled.message);
    return changedPath(
      path,
      { kind: "regex", regex: compiled.regex, substitution },
      { kind: "prefix", value: "" },
      ANY,
    );
  };
  test.for([
    ["^/v1/(.*)$", "/\\1", "/v1/items/2", "/items/2"],
    ["one", "two", "/one/one", "/two/two"],
    ["^/", "", "/x", undefined],
    ["(a)(b)?", "(\\0,\\1,\\2)", "/a", "/(a,a,)"],
    ["x", "\\\\", "/x", undefined],
    ["x", "y?z", "/x", undefined],
  ] as const)("%s → %s on %s is %s", ([pattern, substitution, path, result]) => {
    expect(change(pattern, substitution, path)).toBe(result);
  });
});

describe("redirects", () => {
  const request = {
    scheme: "http",
    host: "a.example.com",
    path: "/x",
    query: "?q=1",
    listenerPort: 8080,
    patterns: ANY,
  } as const;
  const match = { kind: "prefix", value: "" } as const;
  test.for([
    [{ statusCode: 302 }, "http://a.example.com:8080/x?q=1"],
    [{ statusCode: 302, scheme: "https" as const }, "https://a.example.com/x?q=1"],
    [{ statusCode: 302, scheme: "https" as const, port: 8443 }, "https://a.example.com:8443/x?q=1"],
    [{ statusCode: 302, port: 80 }, "http://a.example.com/x?q=1"],
    [{ statusCode: 302, hostname: "b.example.com" }, "http://b.example.com:8080/x?q=1"],
    [{ statusCode: 302, path: { kind: "full" as const, value: "/y" } }, "http://a.example.com:8080/y?q=1"],
  ] as const)("B34: %j leads to %s", ([redirect, location]) => {
    expect(redirectLocation(request, redirect, match)).toBe(location);
  });

  test("one whose path cannot be made is none", () => {
    const compiled = compileRegex("^/");
    if (!compiled.ok) throw new Error(compiled.message);
    const path = { kind: "regex", regex: compiled.regex, substitution: "" } as const;
    expect(redirectLocation(request, { statusCode: 302, path }, match)).toBeUndefined();
  });

  test("B34: a path of two slashes cannot become another host", () => {
    const path = normalisePath("//evil.example/x");
    expect(path).toEqual({ ok: true, path: "/evil.example/x" });
  });
});
