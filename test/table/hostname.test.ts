import { describe, expect, test } from "vitest";
import { Hostname, hostnameProblem } from "../../src/api/primitives.ts";
import { bySpecificity, coveringHostnames, hostOf, intersection } from "../../src/routing/hostname.ts";
import { BAD_HOSTNAMES } from "../support/bad-input.ts";

describe("hostnames of routes and listeners", () => {
  test.for(Object.entries(BAD_HOSTNAMES).flatMap(([row, hostnames]) => hostnames.map((hostname) => [row, hostname])))(
    "%s: %j is refused",
    ([, hostname = ""]) => {
      expect(Hostname.safeParse(hostname).success && hostnameProblem(hostname) === undefined).toBe(false);
    },
  );

  test.for(["example.com", "*.example.com", "xn--bcher-kva.example", "a", "1.example.com", "10.0.0.1.example.com"])(
    "%s is fine",
    (hostname) => {
      expect(Hostname.safeParse(hostname).success && hostnameProblem(hostname) === undefined).toBe(true);
    },
  );
});

describe("hostname of a request", () => {
  test.for([
    ["SHOP.Example.com", "shop.example.com"],
    ["shop.example.com.", "shop.example.com"],
    ["shop.example.com:8080", "shop.example.com"],
    ["constructor", "constructor"],
    ["__proto__", "__proto__"],
    ["[::1]:80", "[::1]"],
  ] as const)("B7, B8: %s is matched as %s", ([header, host]) => {
    expect(hostOf(header)?.host).toBe(host);
  });

  test.for(["", ".", "a,b", "user@host", "a b", "a/b", "bücher", "a:b", "a:99999999"])(
    "B7: %j is no host",
    (header) => {
      expect(hostOf(header)).toBeUndefined();
    },
  );

  test("B7: a host has at most the length of a name with its dot and a port", () => {
    expect(hostOf("a".repeat(260))).toStrictEqual({ host: "a".repeat(260) });
    expect(hostOf("a".repeat(261))).toBeUndefined();
  });

  test("a port is told beside it, where there is one", () => {
    expect(hostOf("a.test:8080")).toStrictEqual({ host: "a.test", port: 8080 });
    expect(hostOf("a.test")).toStrictEqual({ host: "a.test" });
  });

  test("B4: wildcards cover one label or more, never the apex", () => {
    expect([...coveringHostnames("a.b.example.com")]).toEqual([
      "a.b.example.com",
      "*.b.example.com",
      "*.example.com",
      "*.com",
      "*",
    ]);
    expect([...coveringHostnames("example.com")]).not.toContain("*.example.com");
    expect([...coveringHostnames(".example.com")]).toEqual([".example.com", "*.com", "*"]);
  });
});

describe("hostnames of a listener and a route together", () => {
  test.for([
    ["*", "a.com", "a.com"],
    ["a.com", "*", "a.com"],
    ["*.example.com", "shop.example.com", "shop.example.com"],
    ["shop.example.com", "*.example.com", "shop.example.com"],
    ["*.example.com", "*.shop.example.com", "*.shop.example.com"],
    ["*.example.com", "example.com", undefined],
    ["a.com", "b.com", undefined],
    ["*.a.com", "*.b.com", undefined],
  ] as const)("B13: %s and %s have %s", ([listener, route, common]) => {
    expect(intersection(listener, route)).toBe(common);
  });

  test("the most specific comes first", () => {
    expect(["*", "*.com", "a.example.com", "*.example.com"].sort(bySpecificity)).toEqual([
      "a.example.com",
      "*.example.com",
      "*.com",
      "*",
    ]);
  });
});
