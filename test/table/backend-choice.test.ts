import { fc } from "../support/property.ts";
import { describe, expect, test } from "vitest";
import { chooseBackend, effectiveWeights, pickWeighted, sharePercents } from "../../src/routing/backend-choice.ts";
import { type EndpointSet, endpointsKey } from "../../src/routing/endpoints.ts";
import type { WeightedBackend } from "../../src/routing/rule.ts";
import { NO_FILTERS } from "../../src/translate/filters.ts";

type State = "up" | "empty" | "invalid";

function backend(name: string, weight: number, state: State): WeightedBackend {
  const endpoints = endpointsKey("default", `${state}-${name}`, 80);
  return {
    ref: { name },
    weight,
    filters: NO_FILTERS,
    target:
      state === "invalid"
        ? { kind: "invalid", error: { field: "", reason: "BackendNotFound", message: "" } }
        : { kind: "cluster", endpoints, state: endpoints, http: "1.1", algorithm: "Random", policy: {} },
  };
}

const lookup = (key: string): EndpointSet => {
  const usable = key.includes("/up-") ? [{ address: "127.0.0.1", port: 1 }] : [];
  return { key: key as EndpointSet["key"], usable, ready: usable.length, draining: 0, total: 1, dropped: [] };
};

describe("weights", () => {
  test.for([
    [[90, 10], 0, 0],
    [[90, 10], 0.899, 0],
    [[90, 10], 0.9, 1],
    [[0, 1], 0, 1],
    [[1, 0], 0.999, 0],
    [[0, 0], 0.5, -1],
    [[1_000_000, 1], 0.9999999, 1],
  ] as const)("B18: of %j, %d picks entry %d", ([weights, unit, index]) => {
    expect(pickWeighted(weights, unit)).toBe(index);
  });

  test("P16: 0, 1, 9, 90 and 1,000,000 come out exactly, over evenly spread draws", () => {
    const weights = [0, 1, 9, 90, 1_000_000];
    const sum = 1_000_100;
    const counts = weights.map(() => 0);
    for (let i = 0; i < sum; i++) counts[pickWeighted(weights, (i + 0.5) / sum)]!++;
    expect(counts).toEqual(weights);
  });

  test.for([
    [
      [90, 10],
      [90, 10],
    ],
    [
      [1, 1, 1],
      [34, 33, 33],
    ],
    [
      [1, 1_000_000],
      [0, 100],
    ],
    [
      [0, 0],
      [0, 0],
    ],
    [
      [0, 5],
      [0, 100],
    ],
  ] as const)("shares of %j are %j", ([weights, shares]) => {
    expect(sharePercents(weights)).toEqual(shares);
  });

  test("shares always add up to 100", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1_000_000 }), { minLength: 1, maxLength: 16 }), (weights) => {
        const total = sharePercents(weights).reduce((sum, share) => sum + share, 0);
        expect(total).toBe(weights.some((w) => w > 0) ? 100 : 0);
      }),
    );
  });

  test("B17: an invalid backend keeps its share, with redistribution too", () => {
    const backends = [backend("a", 1, "invalid"), backend("b", 1, "empty"), backend("c", 2, "up")];
    expect(effectiveWeights(backends, false, lookup)).toEqual([1, 1, 2]);
    expect(effectiveWeights(backends, true, lookup)).toEqual([1, 0, 2]);
  });

  test("nothing left is 503, every weight 0 is 500", () => {
    const empty = [backend("a", 1, "empty"), backend("b", 3, "empty")];
    expect(effectiveWeights(empty, true, lookup)).toEqual([1, 3]);
    expect(chooseBackend(empty, true, lookup, 0.5)).toMatchObject({ kind: "backend", index: 1 });
    expect(chooseBackend([backend("a", 0, "up"), backend("b", 0, "up")], false, lookup, 0)).toEqual({
      kind: "none",
      reason: "NoBackends",
    });
  });

  test("one backend alone is chosen without a draw, unless its weight is 0", () => {
    const [one, none] = [backend("a", 5, "up"), backend("a", 0, "up")];
    expect(chooseBackend([one], false, lookup, 1)).toEqual({ kind: "backend", backend: one, index: 0 });
    expect(chooseBackend([none], false, lookup, 0)).toEqual({ kind: "none", reason: "NoBackends" });
  });

  test("a backend of weight 0 is nobody to redistribute to, nor one whose endpoints were never seen", () => {
    const backends = [backend("a", 0, "up"), backend("b", 5, "empty")];
    expect(effectiveWeights(backends, true, lookup)).toEqual([0, 5]);
    expect(effectiveWeights([backend("a", 1, "up"), backend("b", 5, "up")], true, () => undefined)).toEqual([1, 5]);
  });

  test("B19: the same backend twice gets both weights", () => {
    const backends = [backend("a", 1, "up"), backend("b", 1, "up"), backend("a", 2, "up")];
    const picks = [0, 0.25, 0.5, 0.75].map((unit) => chooseBackend(backends, false, lookup, unit));
    expect(picks.map((choice) => (choice.kind === "backend" ? choice.backend.ref.name : ""))).toEqual([
      "a",
      "b",
      "a",
      "a",
    ]);
  });
});
