import { PatternBudget } from "../../src/routing/pattern-budget.ts";
import { expect, test } from "vitest";
import { decide } from "../../src/routing/decide.ts";
import { type AskedFor, SEEDED_BUGS, type SeededBug, winnerOf } from "../support/oracle.ts";
import { pipeline, serviceYaml } from "../support/objects.ts";
import { fc } from "../support/property.ts";
import {
  type WrittenMatch,
  type WrittenRoute,
  type WrittenValue,
  manifestOf,
  writtenRoute,
} from "../support/random-routes.ts";

const TABLES = process.env["SERVICEROUTE_TEST_SIZE"] === "full" ? 5000 : 400;
const REQUESTS = 12;
const SERVICES = ["s0", "s1", "s2"].map((name) => serviceYaml(name)).join("");
const NAMES = ["r0", "r1", "r2", "r3"];

const table = fc.uniqueArray(writtenRoute(NAMES), { minLength: 1, maxLength: 4, selector: ({ name }) => name });
const hosts = ["a.example.com", "b.example.com", "c.example.com", "x.b.example.com", "example.com", "other.test"];
const chance = fc.noShrink(fc.array(fc.nat(2 ** 20), { minLength: REQUESTS * 12, maxLength: REQUESTS * 12 }));

/** Takes numbers one after the other, so that a case is decided by what the property test hands out. */
class Dice {
  readonly #numbers: readonly number[];
  #next = 0;
  constructor(numbers: readonly number[]) {
    this.#numbers = numbers;
  }
  of<T>(list: readonly T[]): T {
    return list[(this.#numbers[this.#next++ % this.#numbers.length] ?? 0) % list.length]!;
  }
  once(every: number): boolean {
    return (this.#numbers[this.#next++ % this.#numbers.length] ?? 0) % every === 0;
  }
}

const meeting = ({ type, value }: WrittenValue): string => (type === "Exact" ? value : "v7");
function pathFor({ path, grpc }: WrittenMatch, dice: Dice): string {
  if (grpc !== undefined) return `/${grpc.service}/${grpc.method ?? "Any"}`;
  const { type = "PathPrefix", value = "/" } = path ?? {};
  if (type === "RegularExpression") return dice.of(["/a/b", "/shop/cart", "/abc", "/b/b"]);
  if (type === "Exact") return value;
  const prefix = value.replace(/\/$/, "");
  return prefix === "" ? dice.of(["/", "/more"]) : dice.of([prefix, `${prefix}/`, `${prefix}/more`, `${prefix}x`]);
}

/** A request that one of the matches is for; now and then with one thing off, or with something more. */
function requestFor(routes: readonly WrittenRoute[], dice: Dice): AskedFor {
  const route = dice.of(routes);
  const match = dice.of(dice.of(route.rules).matches);
  const wanted = dice.of(route.hostnames.length === 0 ? ["*"] : route.hostnames);
  const host = wanted === "*" || dice.once(8) ? dice.of(hosts) : wanted.replace("*", "x");
  const headers = new Map((match.headers ?? []).map((one) => [one.name.toLowerCase(), meeting(one)]));
  const cookies = new Map((match.cookies ?? []).map((one) => [one.name, meeting(one)]));
  const query = new Map((match.queryParams ?? []).map((one) => [one.name, [meeting(one)]]));
  if (dice.once(6)) headers.set("x-a", "v1");
  if (dice.once(6)) cookies.set("c", "v1");
  if (dice.once(6)) query.set("q", ["off", "v1"]);
  if (dice.once(14)) headers.clear();
  if (dice.once(14)) cookies.clear();
  const path = dice.once(12) ? dice.of(["/", "/a", "/a/b", "/ab", "/shop/pay", "/shopx"]) : pathFor(match, dice);
  const method = match.method === undefined || dice.once(8) ? dice.of(["GET", "POST", "PUT"]) : match.method;
  return { host, method, path, headers, cookies, query };
}

/** Tables with this in them, by name. */
function countContents(routes: readonly WrittenRoute[], counts: Map<string, number>): void {
  const rules = routes.flatMap((route) => route.rules);
  const matches = rules.flatMap((rule) => rule.matches);
  const names = new Set([
    ...matches.flatMap((match) => Object.keys(match).map((field) => `match ${field}`)),
    ...matches.flatMap(({ path }) => (path === undefined ? [] : [`path ${path.type}`])),
    ...rules.flatMap((rule) => (rule.filters ?? []).map((filter) => `filter ${(filter as { type: string }).type}`)),
    ...rules.flatMap((rule) =>
      Object.keys(rule).filter((field) => !["matches", "filters", "backendRefs"].includes(field)),
    ),
  ]);
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
}

test("requests derived from random tables get the rule that a look at everything finds; seeded bugs would be noticed", () => {
  const contents = new Map<string, number>();
  const found = new Map<SeededBug, number>();
  let [tables, asked, matched, forwarded] = [0, 0, 0, 0];
  fc.assert(
    fc.property(table, chance, (routes, numbers) => {
      tables++;
      countContents(routes, contents);
      const rig = pipeline();
      rig.apply(SERVICES + routes.map((route) => manifestOf(route)).join(""));
      const { table: built } = rig.translator;
      const [socket = ""] = built.sockets();
      const dice = new Dice(numbers);
      for (let i = 0; i < REQUESTS; i++) {
        const request = requestFor(routes, dice);
        const view = {
          method: request.method,
          path: request.path,
          header: (name: string) => request.headers.get(name),
          cookie: (name: string) => request.cookies.get(name),
          patterns: new PatternBudget(),
          query: (name: string) => request.query.get(name)?.[0],
        };
        const decision = decide(built, socket, "", request.host, view);
        const entry = decision.kind === "route" ? decision.entry : undefined;
        const actual =
          entry === undefined ? undefined : `${entry.rule.route.split("/").at(-1)} ${entry.rule.index} ${entry.index}`;
        expect(actual).toBe(winnerOf(routes, request));
        asked++;
        if (entry !== undefined) matched++;
        if (entry?.rule.action.kind === "forward") forwarded++;
        for (const bug of SEEDED_BUGS)
          if (winnerOf(routes, request, bug) !== actual) found.set(bug, (found.get(bug) ?? 0) + 1);
      }
    }),
    { numRuns: TABLES },
  );
  const share = (count: number): number => Math.round((count / tables) * 100);
  console.log(`# fuzz: ${asked} requests to ${tables} tables, ${matched} matched, ${forwarded} reach a backend`);
  console.log(
    `# fuzz: % of tables with ${[...contents]
      .sort()
      .map(([name, count]) => `${name} ${share(count)}`)
      .join(", ")}`,
  );
  console.log(`# fuzz: seeded bugs found in ${SEEDED_BUGS.map((bug) => found.get(bug) ?? 0).join(", ")} requests`);
  expect(forwarded / asked).toBeGreaterThan(0.6);
  expect([...contents].filter(([, count]) => share(count) < 5)).toEqual([]);
  expect(SEEDED_BUGS.filter((bug) => !found.has(bug))).toEqual([]);
  expect(contents.size).toBeGreaterThan(18);
});
