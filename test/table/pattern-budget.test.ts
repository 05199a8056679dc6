import { describe, expect, test } from "vitest";
import { PatternBudget, PatternLimit } from "../../src/routing/pattern-budget.ts";
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

  test("B21: the rules of a route hold no more patterns than a process can", () => {
    const matches = Array.from({ length: 64 }, (_, i) => `{path: {type: RegularExpression, value: "/(a?){300}${i}"}}`);
    const output = pipeline().apply(routeYaml("r", `rules: [{matches: [${matches.join()}]}]`));
    expect(message(statusOf(output, "r"), "Accepted")).toContain(
      "with this one the rule's patterns compile to more than 10000 instructions",
    );
  });
});
