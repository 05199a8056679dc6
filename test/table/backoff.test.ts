import { expect, test } from "vitest";
import { Backoff, pause } from "../../src/kube/backoff.ts";
import { SILENCE_MS } from "../../src/kube/list-watch.ts";

const times = (random: () => number, count: number): number[] => {
  const backoff = new Backoff(random);
  return Array.from({ length: count }, () => backoff.next());
};

test("F1, F7: waiting doubles up to half a minute, and chance takes up to half of it", () => {
  expect(times(() => 1, 9)).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  expect(times(() => 0, 9)).toEqual([250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
  expect(new Set(times(Math.random, 200)).size).toBeGreaterThan(190);
});

test("F1: after a success it begins anew", () => {
  const backoff = new Backoff(() => 1);
  backoff.next();
  backoff.next();
  backoff.reset();
  expect(backoff.next()).toBe(500);
});

test("waits as long as the server asks for, and no longer when it is told to end", async () => {
  const started = performance.now();
  await new Backoff(() => 0, 1, 1).wait(new AbortController().signal, 60);
  expect(performance.now() - started).toBeGreaterThan(50);
  await pause(60_000, AbortSignal.abort());
  await pause(60_000, AbortSignal.timeout(10));
});

test("F2: a watch that says nothing is taken for dead within 90 seconds, after more than one bookmark was due", () => {
  expect(SILENCE_MS).toBeLessThanOrEqual(90_000);
  expect(SILENCE_MS).toBeGreaterThan(60_000);
});
