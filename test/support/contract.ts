import { format } from "node:util";
import { test as base } from "vitest";

/** Titles of tests whose promise a data plane does not keep, with the reason. */
export type Differences = ReadonlyMap<string, string>;

let differences: Differences = new Map();

/** What the data plane of this test file does otherwise: those tests have to fail there, so that the list stays true. */
export function differsIn(all: Differences): void {
  differences = all;
}

type Work = () => unknown;

function register(title: string, work: Work, timeout?: number): void {
  if (!differences.has(title)) return base(title, work, timeout);
  console.log(`# differs: ${title} (${differences.get(title) ?? ""})`);
  base.fails(title, work, timeout);
}

/** As vitest's own, for promises that every data plane makes unless it is said that it does not. */
export const test = Object.assign(register, {
  for:
    <T>(cases: readonly T[]) =>
    (title: string, work: (one: T) => unknown, timeout?: number): void => {
      for (const one of cases) {
        const shown = Array.isArray(one) ? (one as readonly unknown[]) : [one];
        const places = title.match(/%[sd]/g)?.length ?? 0;
        register(format(title, ...shown.slice(0, places)), () => work(one), timeout);
      }
    },
});
