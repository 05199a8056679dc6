import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { wireCases } from "./support/wire-case.ts";

const ROOT = join(import.meta.dirname, "..");

const rows = [
  ...readFileSync(join(ROOT, "docs/catalogue.md"), "utf8").matchAll(
    /^\| ([PFBSD][0-9]+) \|[^|]*\|[^|]*\| (open)? *\|$/gm,
  ),
].map(([, id = "", open]) => ({ id, open: open !== undefined }));

/** Ids in the titles of tests: text between quotes that a test or a row of its table begins with or names. */
const titles = readdirSync(join(ROOT, "test"), { recursive: true, encoding: "utf8" })
  .filter((name) => /(\.test|-suite|bad-input)\.ts$/.test(name) && !name.includes("catalogue"))
  .flatMap((name) =>
    readFileSync(join(ROOT, "test", name), "utf8")
      .split("\n")
      .filter((line) => !/^\s*(\/\/|\*|\/\*)|console\.log|^\s*`#/.test(line))
      .flatMap((line) => [...line.matchAll(/["'`]([^"'`\n]*)["'`]/g)].map(([, text = ""]) => text)),
  );
const wire = wireCases();
const named = new Set([
  ...titles.flatMap((text) => text.match(/\b[PFBSD][0-9]+\b/g) ?? []),
  ...wire.map(({ row }) => row),
]);

test("every row has a test, or says that it has none yet", () => {
  expect(rows.length).toBeGreaterThan(100);
  expect(rows.filter(({ id, open }) => !open && !named.has(id)).map(({ id }) => id)).toEqual([]);
});

test("every row of the corpus of bytes has three cases at least", () => {
  const counts = Map.groupBy(wire, ({ row }) => row);
  expect(counts.size).toBeGreaterThan(40);
  expect([...counts].filter(([, cases]) => cases.length < 3).map(([row]) => row)).toEqual([]);
});

test("a row that says open has no test", () => {
  expect(rows.filter(({ id, open }) => open && named.has(id)).map(({ id }) => id)).toEqual([]);
});
