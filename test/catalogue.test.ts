import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

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
const named = new Set(titles.flatMap((text) => text.match(/\b[PFBSD][0-9]+\b/g) ?? []));

test("every row has a test, or says that it has none yet", () => {
  expect(rows.length).toBeGreaterThan(100);
  expect(rows.filter(({ id, open }) => !open && !named.has(id)).map(({ id }) => id)).toEqual([]);
});

test("a row that says open has no test", () => {
  expect(rows.filter(({ id, open }) => open && named.has(id)).map(({ id }) => id)).toEqual([]);
});
