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

/** Rows that a request or an answer may bring: D1 to D48, B49 to B59. */
const OF_MESSAGES = [
  ...Array.from({ length: 48 }, (_, i) => `D${i + 1}`),
  ...Array.from({ length: 11 }, (_, i) => `B${i + 49}`),
];

test("every row of messages has three cases at least: bytes in the corpus, or tests where bytes of HTTP/1.1 cannot say it", () => {
  const table = OF_MESSAGES.map((row) => {
    const bytes = wire.filter((one) => one.row === row).length;
    // One title with %s is a table of its own.
    const tests = titles
      .filter((text) => new RegExp(`\\b${row}\\b`).test(text))
      .reduce((sum, text) => sum + (text.includes("%s") ? 3 : 1), 0);
    return { row, bytes, tests };
  });
  expect(table.filter(({ bytes, tests }) => bytes < 3 && tests < 3)).toEqual([]);
});

test("a row that says open has no test", () => {
  expect(rows.filter(({ id, open }) => open && named.has(id)).map(({ id }) => id)).toEqual([]);
});
