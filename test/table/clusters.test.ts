import { expect, test } from "vitest";
import { Clusters } from "../../src/proxy/upstream/clusters.ts";
import type { EndpointsKey } from "../../src/routing/endpoints.ts";
import type { ClusterRef } from "../../src/routing/rule.ts";

const MINUTE = 60_000;
const stateOf = (i: number): ClusterRef =>
  ({
    kind: "cluster",
    state: `default/web:80 #${i}`,
    endpoints: "default/web:80" as EndpointsKey,
    algorithm: "RoundRobin",
    policy: {},
  }) as ClusterRef;

test("F43: what edits of a policy leave behind goes when no request has asked for it in a while", () => {
  let now = 0;
  const clusters = new Clusters({ random: Math.random, healthChanged: () => undefined, processes: 1 }, () => now);
  const [kept, busy] = [clusters.get(stateOf(0)), clusters.get(stateOf(1))];
  busy.enter(() => undefined);
  for (let i = 2; i < 1000; i++) clusters.get(stateOf(i));
  now = 4 * MINUTE;
  expect(clusters.get(stateOf(0))).toBe(kept);
  clusters.get(stateOf(1000));
  expect(clusters.size).toBe(1001);
  now = 6 * MINUTE;
  clusters.get(stateOf(1001));
  expect(clusters.size).toBe(4);
  expect([clusters.get(stateOf(0)), clusters.get(stateOf(1))]).toEqual([kept, busy]);
});

test("what others have given a backend counts for the first request that uses it here, as long as they say so", () => {
  let now = 0;
  const limited = (i: number): ClusterRef => ({
    ...stateOf(i),
    policy: { breaker: { maxConnections: 100, maxPendingRequests: 100, maxRequests: 1 } },
  });
  const told: string[] = [];
  const parts = { random: Math.random, healthChanged: () => undefined, processes: 2 };
  const clusters = new Clusters({ ...parts, tell: ({ kind }) => told.push(kind) }, () => now);
  const hear = (from: number, i: number, running: number): void =>
    clusters.heard(from, { kind: "load", cluster: limited(i), load: { running, waiting: 0 } }, undefined);
  const isFull = (i: number): boolean => clusters.get(limited(i)).enter(() => undefined) === undefined;
  for (let i = 0; i < 5; i++) hear(2, i, 1);
  hear(2, 1, 0);
  hear(3, 2, 1);
  clusters.forget(3);
  expect([isFull(0), isFull(1), isFull(2)]).toEqual([true, false, true]);
  clusters.forget(2);
  expect(isFull(3)).toBe(false);
  hear(2, 4, 1);
  now = 3000;
  expect(isFull(4)).toBe(false);
  expect(told.filter((kind) => kind === "wanted")).toHaveLength(5);
});
