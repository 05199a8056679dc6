import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RouteKey } from "../../src/routing/routing-table.ts";
import { Quarantine } from "../../src/xds/quarantine.ts";
import { refusalText } from "../../src/xds/refusal-text.ts";
import { idOf } from "../../src/xds/resources/resource.ts";

const route = (i: number): RouteKey => `ServiceRoute/default/r${i}` as RouteKey;
const ID = idOf("RouteConfiguration", "rc");

/** Proxies that refuse a group when one of these routes is in it. */
function court(bad: ReadonlySet<RouteKey>) {
  const trials: (readonly RouteKey[])[] = [];
  const convicted = new Map<RouteKey, string>();
  let ends = 0;
  const waiting: (readonly RouteKey[])[] = [];
  const quarantine = new Quarantine({
    start: (_of, routes) => (trials.push(routes), waiting.push(routes)),
    end: () => ends++,
    convicted: (routes) => routes.forEach((why, key) => convicted.set(key, why)),
  });
  const run = (): void => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const found = next.find((key) => bad.has(key));
      quarantine.tried(found === undefined ? undefined : `because of ${found}`);
    }
  };
  return { quarantine, trials, convicted, run, ends: () => ends };
}

describe("a quarantine", () => {
  test("one suspect is known at once, without a trial", () => {
    const { quarantine, trials, convicted } = court(new Set());
    quarantine.refused(ID, [route(1)], "why");
    expect([[...convicted], trials]).toEqual([[[route(1), "why"]], []]);
  });

  test("F17: finds all that are refused, and nobody else, in few trials", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 400 }),
        fc.array(fc.nat(399), { minLength: 1, maxLength: 4 }),
        (count, picks) => {
          const bad = new Set(picks.map((pick) => route(pick % count)));
          const { quarantine, trials, convicted, run, ends } = court(bad);
          quarantine.refused(
            ID,
            Array.from({ length: count }, (_, i) => route(i)),
            "all",
          );
          run();
          expect(new Set(convicted.keys())).toEqual(bad);
          for (const [key, why] of convicted) expect(why).toBe(`because of ${key}`);
          expect(trials.length).toBeLessThanOrEqual(2 * bad.size * (Math.ceil(Math.log2(count)) + 1));
          expect([ends(), quarantine.isIdle]).toEqual([1, true]);
        },
      ),
    );
  });

  test("when none is refused by itself all stay out", () => {
    const { quarantine, convicted, run } = court(new Set());
    quarantine.refused(ID, [route(1), route(2)], "together");
    run();
    expect([...convicted]).toEqual([
      [route(1), "together"],
      [route(2), "together"],
    ]);
  });

  test("a second resource waits, and a new version of one that waits takes its place", () => {
    const other = idOf("RouteConfiguration", "other");
    const { quarantine, convicted, run } = court(new Set([route(1), route(4)]));
    quarantine.refused(ID, [route(1), route(2)], "a");
    quarantine.refused(other, [route(3), route(9)], "b");
    quarantine.refused(other, [route(3), route(4)], "c");
    quarantine.refused(ID, [route(1), route(2), route(5)], "again");
    run();
    expect(new Set(convicted.keys())).toEqual(new Set([route(1), route(4)]));
  });
});

test("S25: of why Envoy refuses something the resource itself is left out", () => {
  const dump = `Proto constraint validation failed (Dump: goo.gle/debugonly  name: "rc" key: "secret\n"): Proto constraint validation failed (RouteConfigurationValidationError.VirtualHosts[2]: value does not match\nregex)`;
  const text = refusalText(dump);
  expect(text).toBe(
    "Proto constraint validation failed (RouteConfigurationValidationError.VirtualHosts[2]: value does not match regex)",
  );
  expect(refusalText("x".repeat(1000)).length).toBeLessThan(310);
});
