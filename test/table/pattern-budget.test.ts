import { describe, expect, test } from "vitest";
import { explain } from "../../src/routing/explain.ts";
import { patternSize } from "../../src/routing/match.ts";
import { PatternBudget, PatternLimit, type PatternOwner } from "../../src/routing/pattern-budget.ts";
import { type Regex, compileRegex } from "../../src/routing/regex.ts";
import { message, statusOf } from "../support/conditions.ts";
import { pipeline, routeYaml } from "../support/objects.ts";

const ANY = new PatternBudget();

describe("what patterns may cost a request", () => {
  const compile = (source: string): Regex => {
    const compiled = compileRegex(source);
    if (!compiled.ok) throw new Error(compiled.message);
    return compiled.regex;
  };
  const long = `/${"a".repeat(15_000)}`;

  test("B21: a large pattern is not asked about a long text", () => {
    const large = compile("/([a-z]+/?){300}!");
    expect(() => ANY.matches(large, long)).toThrow(PatternLimit);
    expect(ANY.matches(large, `/${"a".repeat(300)}!`)).toBe(true);
    expect(ANY.matches(compile("/[a-z]+"), long)).toBe(true);
  });

  test("B21, S31: what is costly for one hostname gets a quarter of the time; everyday patterns and other hostnames all that they need", () => {
    let clock = 0;
    const slow = compile("/([a-z]+/?){300}");
    const timed = (): PatternBudget => new PatternBudget(() => (clock += 5));
    const [greedy, other] = [{ patternTime: undefined }, { patternTime: undefined }] as PatternOwner[];
    const ask = (owner: PatternOwner, pattern = slow): boolean => {
      const budget = timed();
      budget.chargeTo(owner);
      return budget.matches(pattern, `/${"a".repeat(300)}`);
    };
    let asked = 0;
    const spend = (): void => {
      for (;;) {
        ask(greedy!);
        asked++;
      }
    };
    expect(spend).toThrow(PatternLimit);
    expect([asked, ask(other!)]).toEqual([50, true]);
    const everyday = compile("/[a-z]+/?");
    for (let i = 0; i < 1000; i++) expect(ask(greedy!, everyday)).toBe(true);
    expect(() => ask(greedy!)).not.toThrow();
    clock += 1000;
    expect(ask(greedy!)).toBe(true);
  });

  test.for([
    ["/img/[a-z0-9]{1,600}[.]png", "/img/"],
    ["^/v1\\.0/x-y/.*", "/v1.0/x-y/"],
    ["/ab*", "/a"],
    ["/ab+c", "/a"],
    ["/ab?", "/a"],
    ["/ab{2}", "/a"],
    ["/a\\.*", "/a"],
    ["/a|/b", ""],
    ["(?i)/a", ""],
    ["/a\\d", "/a"],
    [".*", ""],
    ["", ""],
  ] as const)("every text that %s matches begins with %j, and others cost nothing", ([source, prefix]) => {
    const regex = compile(source);
    expect(regex.prefix).toBe(prefix);
    if (prefix !== "") expect(ANY.matches({ ...regex, size: 1_000_000 }, "x".repeat(1000))).toBe(false);
  });

  test("B21: many that are slow together end when their time is up, but not for a pause of the process", () => {
    let ms = 0;
    const slow = new PatternBudget(() => (ms += 5));
    const pattern = compile("/([a-z]+/?){300}!");
    const text = `/${"a".repeat(300)}!`;
    let asked = 0;
    expect(() => {
      for (; asked < 100; asked++) slow.matches(pattern, text);
    }).toThrow(PatternLimit);
    expect(asked).toBe(5);
    const paused = new PatternBudget(() => (ms += 1000));
    for (let i = 0; i < 100; i++) expect(paused.matches(compile("/a"), "/a")).toBe(true);
  });

  test.for(["(.*!|a)", "((a?){300}!|a)", "a"])("B21: replacing %s over and over ends", (source) => {
    const started = performance.now();
    const budget = new PatternBudget(() => performance.now());
    expect(() => budget.replaceAll(compile(source), long, "x".repeat(100))).toThrow(PatternLimit);
    expect(performance.now() - started).toBeLessThan(1000);
  });

  test("B21: replacing counts each search from where it starts, and what has been made", () => {
    const pattern = { ...compile("a"), size: 100 };
    let searches = 0;
    const made = (length: number, now = () => 0): string => {
      searches = 0;
      const counted: Regex = {
        ...pattern,
        replaceAll: (text, substitution, step) =>
          pattern.replaceAll(text, substitution, (at, size) => {
            searches++;
            step(at, size);
          }),
      };
      return new PatternBudget(now).replaceAll(counted, "a".repeat(length), "bb");
    };
    expect(made(8192)).toBe("bb".repeat(8192));
    expect(() => made(8193)).toThrow("the pattern a takes too long on this request");
    let ms = 0;
    expect(() => made(500, () => (ms += 1))).toThrow(PatternLimit);
    expect(searches).toBe(21);
    expect(made(100, () => (ms += 1))).toBe("bb".repeat(100));
    const whole = { ...pattern, size: 1000 };
    expect(ANY.matches(whole, "a".repeat(1000))).toBe(false);
    expect(() => ANY.matches(whole, "a".repeat(1001))).toThrow(PatternLimit);
  });

  test("B21: explain tells what is not asked, and what the gateway answers", () => {
    const rig = pipeline();
    const slow = '{path: {type: RegularExpression, value: "/([a-z]+/?){300}!"}}';
    const spec = `rules: [{name: quick, matches: [{path: {type: Exact, value: ${JSON.stringify(long.slice(0, 1000))}}}]}, {name: slow, matches: [${slow}]}]`;
    rig.apply(routeYaml("r", spec));
    const explained = (path: string) =>
      explain(rig.translator.table, {
        method: "GET",
        path,
        host: "a.test",
        scheme: "http",
        header: () => undefined,
        cookie: () => undefined,
        query: () => undefined,
        patterns: new PatternBudget(),
      });
    const refused = explained(long);
    expect(refused.answer).toBe("500 PatternLimit: the pattern /([a-z]+/?){300}! takes too long on this request");
    expect(refused.losers.map(({ rule, why }) => `${rule}: ${why}`)).toEqual([
      "quick: path does not match",
      "slow: not asked: patterns took too long",
    ]);
    const served = explained(long.slice(0, 1000));
    expect([served.winner?.rule, served.losers.map(({ why }) => why)]).toEqual([
      "quick",
      ["not asked: patterns took too long"],
    ]);
  });

  test("B21: patterns of every kind of a rule count", () => {
    const value = (name: string): string => `[{name: ${name}, type: RegularExpression, value: "(a?){300}"}]`;
    const match = `{path: {type: RegularExpression, value: "/(a?){300}"}, headers: ${value("h")}, cookies: ${value("c")}, queryParams: ${value("q")}}`;
    const [plain] = pipeline()
      .apply(routeYaml("r", `rules: [{matches: [${match}]}]`))!
      .translations.values();
    expect(patternSize(plain!.table!.entries[0]!.match)).toBe(4 * compile("(a?){300}").size + 1);
  });

  test("B21: of a rule with too many the others stay: what they are for goes to no other rule", () => {
    const large = Array.from({ length: 12 }, (_, i) => `{path: {type: RegularExpression, value: "/(a?){300}${i}"}}`);
    const output = pipeline().apply(
      routeYaml("r", `rules: [{matches: [${large.join()}, {path: {type: Exact, value: /admin}}]}]`),
    );
    const [translation] = output!.translations.values();
    const paths = translation!.table!.entries.map(({ match: { path } }) => (path.kind === "exact" ? path.value : ""));
    expect(paths).toContain("/admin");
    expect(paths.length).toBeLessThan(13);
    expect(translation!.table!.entries.every(({ rule }) => rule.action.kind === "fail")).toBe(true);
  });

  test("B21: the rules of a route hold no more patterns than a process can", () => {
    const matches = Array.from({ length: 64 }, (_, i) => `{path: {type: RegularExpression, value: "/(a?){300}${i}"}}`);
    const output = pipeline().apply(routeYaml("r", `rules: [{matches: [${matches.join()}]}]`));
    expect(message(statusOf(output, "r"), "Accepted")).toContain(
      "with this one the rule's patterns compile to more than 10000 instructions",
    );
  });
});
