import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { titlesOf } from "./support/test-titles.ts";
import { wireCases } from "./support/wire-case.ts";

const ROOT = join(import.meta.dirname, "..");

const rows = [
  ...readFileSync(join(ROOT, "docs/catalogue.md"), "utf8").matchAll(
    /^\| ([PFBSD][0-9]+) \|[^|]*\|[^|]*\| (open)? *\|$/gm,
  ),
].map(([, id = "", open]) => ({ id, open: open !== undefined }));

/** Text that a test or a row of its table begins with or names. */
const titles = readdirSync(join(ROOT, "test"), { recursive: true, encoding: "utf8" })
  .filter((name) => /(\.test|-suite|bad-input)\.ts$/.test(name) && !name.includes("catalogue"))
  .flatMap((name) => titlesOf(readFileSync(join(ROOT, "test", name), "utf8")))
  .filter(({ text }) => !text.startsWith("#"));
const wire = wireCases();
const named = new Set([
  ...titles.flatMap(({ text }) => text.match(/\b[PFBSD][0-9]+\b/g) ?? []),
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
    const tests = titles
      .filter(({ text }) => new RegExp(`\\b${row}\\b`).test(text))
      .reduce((sum, { cases }) => sum + cases, 0);
    return { row, bytes, tests };
  });
  expect(table.filter(({ bytes, tests }) => bytes < 3 && tests < 3)).toEqual([]);
});

test("a row that says open has no test", () => {
  expect(rows.filter(({ id, open }) => open && named.has(id)).map(({ id }) => id)).toEqual([]);
});

test("a title stands for as many cases as its table has rows that can be seen", () => {
  const source = 'test("D1: one"); test.for([[1], [2]] as const)("D2: %s", () => "D3"); test.for(rows)("D4: %s");';
  expect(titlesOf(source)).toEqual([
    { text: "D1: one", cases: 1 },
    { text: "D2: %s", cases: 2 },
    { text: "D3", cases: 1 },
    { text: "D4: %s", cases: 1 },
  ]);
});
