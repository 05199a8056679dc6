import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { message, statusOf } from "../support/conditions.ts";
import { pipeline, routeYaml } from "../support/objects.ts";

const ROOT = join(import.meta.dirname, "../..");
const CRD = readFileSync(join(ROOT, "crds/serviceroute.dev_serviceroutes.yaml"), "utf8");
const unquoted = (text: string): string =>
  text.startsWith('"') ? (JSON.parse(text) as string) : text.replace(/^'|'$/g, "");
const ofSchema = [...CRD.matchAll(/^ +pattern: (.*)$/gm)].map(([, text = ""]) => unquoted(text));
/** Patterns that code applies: JavaScript's engine, unlike RE2, can be made to try everything. */
const ofCode = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .flatMap((name) => [
    ...readFileSync(join(ROOT, "src", name), "utf8").matchAll(
      /(?<=[(=,:?&|] ?|return )\/((?:[^/\\\n[*]|\\.|\[(?:[^\]\\\n]|\\.)*\])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])*)\/[dgimsuy]*(?=[,;).\s])/g,
    ),
  ])
  .map(([, source = ""]) => source);

/** Tries each pattern on long texts of few letters that end in what no pattern takes. */
const ATTACK = `
const parts = ["a", "A", "0", "-", ".", "a.", "-.", "a-", " ", "a ", "  a", "a  ", "!", "/", "%", "%a", "h", "1h", "ms", "*.", "x=", ";", ",", ":", "[", "]", "(", "DNS:", "http://"];
for (const source of JSON.parse(process.argv[1])) {
  const pattern = new RegExp(source);
  for (const part of parts) for (const end of ["\\0", "\\n", " "]) pattern.test(part.repeat(4000) + end);
}`;

test.for([
  ["of the schema", ofSchema],
  ["of the code", ofCode],
] as const)("S22: patterns %s do not multiply their work", ([, sources]) => {
  const distinct = [...new Set(sources)];
  expect(distinct.length).toBeGreaterThan(10);
  // In a process of its own: one that never ends must not take the tests along.
  for (const source of distinct)
    expect(
      () => execFileSync(process.execPath, ["-e", ATTACK, JSON.stringify([source])], { timeout: 10_000 }),
      source,
    ).not.toThrow();
});

test("S22: values of headers may have blanks inside, and are refused at once when they may not", () => {
  const problem = (value: string): string => {
    const match = `{headers: [{name: x, value: ${JSON.stringify(value)}}]}`;
    return message(statusOf(pipeline().apply(routeYaml("r", `rules: [{matches: [${match}]}]`)), "r"), "Accepted");
  };
  for (const value of ["a", "a b", "a  b", "a\t b", "!~"]) expect(problem(value), value).toBe("The route is attached.");
  for (const value of [" a", "a ", "a\n", "ä", `${"a".repeat(48)}  \0`])
    expect(problem(value), value).toContain("pattern");
});
