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
