import { PatternBudget } from "../../src/routing/pattern-budget.ts";
import { expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import { RouteMatch } from "../../src/api/match.ts";
import { BUILTIN_GATEWAY, type Listener, listenerId, socketOf } from "../../src/routing/listener.ts";
import { sameConditions } from "../../src/routing/match.ts";
import { type MatchEntry, byPrecedence } from "../../src/routing/precedence.ts";
import { type RouteTable, RoutingTable, emptyDiff } from "../../src/routing/routing-table.ts";
import { VirtualHost } from "../../src/routing/virtual-host.ts";
import { NO_FILTERS } from "../../src/translate/filters.ts";
import { translateMatch } from "../../src/translate/match.ts";
import { DEFAULT_POLICY } from "../../src/translate/policies.ts";
import { Problems } from "../../src/translate/problems.ts";
import { Translator } from "../../src/translate/translator.ts";
import { OPTIONS, pipeline, routeYaml } from "../support/objects.ts";

const GATEWAY = keyOf("Gateway", "default", "gw");
const id = (name: string) => listenerId(GATEWAY, name);
const routeKey = (name: string) => keyOf("ServiceRoute", "default", name);

function listener(name: string, more: Partial<Listener> = {}): Listener {
  return {
    id: id(name),
    gateway: GATEWAY,
    name,
    address: "127.0.0.1",
    port: 80,
    bindPort: 8080,
    digest: name,
    protocol: "HTTP",
    hostname: "*",
    certificates: [],
    ...more,
  };
}

function entry(route: string, match: RouteMatch = {}): MatchEntry {
  const translated = translateMatch(RouteMatch.parse(match), "m", new Problems());
  if (translated === undefined) throw new Error("the match cannot be built");
  const rule = {
    route: routeKey(route),
    name: "rules[0]",
    index: 0,
    action: { kind: "fail", reason: "NoBackends", message: "" },
    filters: NO_FILTERS,
    policy: DEFAULT_POLICY,
  } as const;
  return { match: translated, rule, createdAt: "", index: 0 };
}
const placed = (one: MatchEntry): RouteTable => ({
  entries: [one],
  placements: [{ listener: id("a"), hostnames: ["a.test"] }],
});
const view = {
  method: "GET",
  path: "/x/y",
  header: () => "",
  cookie: () => "",
  query: () => "",
  patterns: new PatternBudget(),
};

test("listeners share a socket in the order of their names, and leave it one by one", () => {
  const table = new RoutingTable();
  const set = (name: string, one?: Listener): void => {
    table.apply({ ...emptyDiff(), listeners: new Map([[id(name), one]]) });
  };
  const names = (): string[] => table.listenersOn("127.0.0.1:8080").map(({ name }) => name);
  for (const name of ["b", "c", "a"]) set(name, listener(name));
  expect(names()).toEqual(["a", "b", "c"]);
  set("b", listener("b", { bindPort: 8081 }));
  expect([names(), [...table.sockets()]]).toEqual([
    ["a", "c"],
    ["127.0.0.1:8080", "127.0.0.1:8081"],
  ]);
  for (const name of ["a", "b", "c"]) set(name);
  expect([names(), [...table.sockets()], table.listeners.size]).toEqual([[], [], 0]);
});

test("a socket of IPv6 has its address in brackets", () => {
  expect(socketOf(listener("a"))).toBe("127.0.0.1:8080");
  expect(socketOf(listener("a", { address: "::1" }))).toBe("[::1]:8080");
});

test("a change tells which other routes it touches, and none of its own", () => {
  const table = new RoutingTable();
  const apply = (...routes: [string, RouteTable | undefined][]): string[] => [
    ...table.apply({ ...emptyDiff(), routes: new Map(routes.map(([name, one]) => [routeKey(name), one])) }),
  ];
  expect(apply(["a", placed(entry("a"))], ["b", placed(entry("b"))])).toEqual([]);
  expect(apply(["c", placed(entry("c"))])).toEqual([]);
  expect(apply(["0", placed(entry("0"))])).toEqual([routeKey("a"), routeKey("b"), routeKey("c")]);
  expect(apply(["0", undefined])).toEqual([routeKey("a"), routeKey("b"), routeKey("c")]);
  expect(apply(["d", placed(entry("d", { path: { type: "Exact", value: "/d" } }))])).toEqual([]);
  expect(apply(["a", undefined])).toEqual([routeKey("b"), routeKey("c")]);
});

test("a host without a route is none: what is less specific is asked", () => {
  const table = new RoutingTable();
  const own = placed(entry("own"));
  const wild: RouteTable = { ...placed(entry("wild")), placements: [{ listener: id("a"), hostnames: ["*.test"] }] };
  const routes = (...all: [string, RouteTable | undefined][]): void => {
    table.apply({ ...emptyDiff(), routes: new Map(all.map(([name, one]) => [routeKey(name), one])) });
  };
  const hostname = (): string | undefined => table.virtualHost(id("a"), "a.test")?.hostname;
  routes(["own", own], ["wild", wild]);
  expect(hostname()).toBe("a.test");
  routes(["own", undefined]);
  expect(hostname()).toBe("*.test");
  routes(["wild", undefined]);
  expect([hostname(), table.routes.size]).toEqual([undefined, 0]);
});

test.for<RouteMatch>([
  { path: { type: "Exact", value: "/x/y" } },
  { path: { type: "PathPrefix", value: "/x" } },
  { path: { type: "RegularExpression", value: "/x/." } },
])("what was never in a host, or is in it no more, cannot be removed from it: %j", (match) => {
  const host = new VirtualHost();
  const [first, second, stranger] = ["first", "second", "stranger"].map((name) => entry(name, match)) as [
    MatchEntry,
    MatchEntry,
    MatchEntry,
  ];
  host.remove(stranger);
  host.add(second);
  host.add(first);
  host.remove(stranger);
  expect([host.size, host.entries(), host.match(view)]).toEqual([2, [first, second], first]);
  expect([host.winner(second), host.affected(first), host.affected(second)]).toEqual([first, [first, second], []]);
  host.remove(first);
  host.remove(first);
  expect([host.size, host.match(view)]).toEqual([1, second]);
  host.remove(second);
  expect([host.size, host.entries(), host.match(view), host.winner(second)]).toEqual([0, [], undefined, undefined]);
});

test("routes that were there before the translator are translated with its first flush", () => {
  const rig = pipeline();
  rig.apply(routeYaml("r", "rules: [{filters: [{type: DirectResponse, directResponse: {statusCode: 418}}]}]"));
  const late = new Translator(rig.store, OPTIONS);
  expect([...(late.flush()?.diff.routes.keys() ?? [])]).toEqual([routeKey("r")]);
  expect(late.table.virtualHost(listenerId(BUILTIN_GATEWAY, "http"), "a.test")?.host.size).toBe(1);
});

test.for<[string, RouteMatch["path"][]]>([
  ["prefix", [{ type: "PathPrefix", value: "/x" }]],
  ["exact path", [{ type: "Exact", value: "/x" }]],
  ["pattern or another", ["/x.?", "/x.+"].map((value) => ({ type: "RegularExpression", value }))],
])("of many matches on one %s each knows the first for the same requests, whatever came and went", ([, paths]) => {
  const conditions: RouteMatch[] = [
    {},
    { method: "GET" },
    {
      headers: [
        { name: "a", value: "1" },
        { name: "b", value: "2" },
      ],
    },
    {
      headers: [
        { name: "b", value: "2" },
        { name: "a", value: "1" },
      ],
    },
    { headers: [{ name: "a", value: "1", type: "RegularExpression" }] },
    { headers: [{ name: "a", value: "2", type: "RegularExpression" }] },
    { cookies: [{ name: "a", value: "1" }] },
    { queryParams: [{ name: "a", value: "1" }] },
  ];
  const all = Array.from({ length: 60 }, (_, i) =>
    entry(`r${String((i * 7919) % 60).padStart(2, "0")}`, {
      ...conditions[i % conditions.length],
      path: paths[i % paths.length],
    }),
  );
  const pathOf = ({ match: { path } }: MatchEntry): string => (path.kind === "regex" ? path.regex.source : path.value);
  const host = new VirtualHost();
  const there = new Set<MatchEntry>();
  const check = (): void => {
    for (const one of there) {
      const same = [...there]
        .filter((other) => pathOf(one) === pathOf(other) && sameConditions(one.match, other.match))
        .sort(byPrecedence);
      expect(host.winner(one)).toBe(same[0]);
      expect(host.affected(one)).toEqual(same[0] === one ? same : []);
    }
  };
  const change = (one: MatchEntry): void => {
    if (there.delete(one)) host.remove(one);
    else host.add((there.add(one), one));
  };
  for (const one of all) change(one);
  check();
  for (const [i, one] of all.entries()) {
    if (i % 5 !== 0) change(one);
    if (i % 6 === 0) check();
  }
  check();
  for (const one of all) change(one);
  check();
});
