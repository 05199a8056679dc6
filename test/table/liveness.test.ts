import { describe, expect, test } from "vitest";
import { type Key, keyOf } from "../../src/api/keys.ts";
import { ListenerLiveness } from "../../src/controller/listener-liveness.ts";
import { Liveness } from "../../src/controller/liveness.ts";
import { ProxyLiveness } from "../../src/controller/proxy-liveness.ts";
import { ServedBatches } from "../../src/controller/served-batches.ts";
import type { Listener, ListenerId } from "../../src/routing/listener.ts";
import type { ListenerReport, ListenerState, ReplicaReport } from "../../src/routing/programmed.ts";
import type { RouteKey } from "../../src/routing/routing-table.ts";
import { readListeners, writeListeners } from "../../src/status/listener-report.ts";

const ROUTE = keyOf("ServiceRoute", "default", "r");
const WEB = "infra/public/web" as ListenerId;
const SERVING: ListenerState = { kind: "serving" };
const TAKEN = "port 80 of 198.51.100.1 cannot be bound: is in use";

const replica = (report: Partial<ReplicaReport>): ReplicaReport => ({
  replica: "b",
  servedThrough: 0n,
  listeners: { serving: new Set(), failed: new Map() },
  ...report,
});

describe("counting who serves a route", () => {
  const counted = (): { liveness: Liveness; said: () => string | undefined } => {
    let said: string | undefined;
    return { liveness: new Liveness((_key, { live, total }) => (said = `${live}/${total}`), true), said: () => said };
  };
  const version = (resourceVersion: string, generation = 1, uid = "u") => ({ uid, generation, resourceVersion });

  test("all replicas must have come as far as the route", () => {
    const { liveness, said } = counted();
    liveness.reported([replica({ servedThrough: 9n })]);
    liveness.published(ROUTE, version("10"));
    expect(said()).toBe("1/2");
    liveness.reported([replica({ servedThrough: 10n })]);
    expect(said()).toBe("2/2");
  });

  test("a replica that joins later takes nothing back", () => {
    const { liveness, said } = counted();
    liveness.published(ROUTE, version("10"));
    liveness.reported([replica({ servedThrough: 1n })]);
    expect(said()).toBe("1/1");
  });

  test("while nothing is known of the others nothing more is said, and nothing taken back", () => {
    const { liveness, said } = counted();
    liveness.published(ROUTE, version("10"));
    liveness.reported(undefined);
    expect(said()).toBe("1/1");
    liveness.published(ROUTE, version("11", 2));
    expect(said()).toBe("1/1");
    liveness.reported([replica({ servedThrough: 10n })]);
    expect(said()).toBe("1/2");
  });

  test("a new generation, and a new object of the same name, count anew (F37)", () => {
    const { liveness, said } = counted();
    liveness.published(ROUTE, version("10"));
    liveness.reported([replica({ servedThrough: 10n })]);
    for (const next of [version("11", 2), version("12", 2, "other")]) {
      liveness.published(ROUTE, next);
      expect(said()).toBe("1/2");
      liveness.reported([replica({ servedThrough: 12n })]);
      liveness.reported([replica({ servedThrough: 10n })]);
    }
  });
});

describe("counting who serves a listener", () => {
  const listener = (digest = "d1"): Listener => ({ id: WEB, digest }) as Listener;
  /** A listener that this replica serves. */
  function served(others: readonly ReplicaReport[] = []) {
    const said = new Map<ListenerId, ListenerState | undefined>();
    const listeners = new ListenerLiveness((id, state) => said.set(id, state), false);
    listeners.reported(others);
    listeners.published(new Map([[WEB, listener()]]));
    listeners.said(WEB, SERVING);
    return { listeners, said: () => said.get(WEB) };
  }
  const serving = (...digests: string[]): ReplicaReport =>
    replica({ listeners: { serving: new Set(digests), failed: new Map() } });
  const failing = (digest: string, why: string): ReplicaReport =>
    replica({ listeners: { serving: new Set(), failed: new Map([[digest, why]]) } });

  test("nothing serves before the other replicas have been heard", () => {
    let said: ListenerState | undefined;
    const listeners = new ListenerLiveness((_id, state) => (said = state), false);
    listeners.published(new Map([[WEB, listener()]]));
    expect(listeners.waiting()).toEqual([WEB]);
    listeners.said(WEB, SERVING);
    expect([said, listeners.waiting()]).toEqual([undefined, []]);
    listeners.reported([]);
    expect(said).toEqual(SERVING);
  });

  test("while nothing is known of the other replicas what serves still does, and nothing new does", () => {
    const { listeners, said } = served();
    listeners.reported(undefined);
    expect(said()).toEqual(SERVING);
    listeners.published(new Map([[WEB, listener("d2")]]));
    listeners.said(WEB, SERVING);
    expect(said()).toBeUndefined();
    listeners.reported([serving("d2")]);
    expect(said()).toEqual(SERVING);
  });

  test("every replica must serve the same listener: one that does not have it, or has it otherwise, has not said so", () => {
    const { listeners, said } = served([serving()]);
    expect(said()).toBeUndefined();
    for (const others of [[serving("d0")], [serving("d1"), serving()]]) {
      listeners.reported(others);
      expect(said()).toBeUndefined();
    }
    listeners.reported([serving("d1"), serving("d0", "d1")]);
    expect(said()).toEqual(SERVING);
  });

  test("F52: a port that another replica cannot bind is said so until it can", () => {
    const { listeners, said } = served();
    listeners.reported([failing("d1", TAKEN), serving("d1")]);
    expect(said()).toEqual({
      kind: "failed",
      reason: "PortUnavailable",
      message: `on 1 of 3 replicas: ${TAKEN}`,
      isServedElsewhere: true,
    });
    listeners.said(WEB, { kind: "failed", reason: "PortUnavailable", message: TAKEN });
    expect(said()).toMatchObject({ message: `on 2 of 3 replicas: ${TAKEN}`, isServedElsewhere: true });
    listeners.reported([failing("d1", TAKEN), serving("d0")]);
    expect(said()).toMatchObject({ message: `on 2 of 3 replicas: ${TAKEN}`, isServedElsewhere: false });
    expect(listeners.report()).toEqual({ serving: new Set(), failed: new Map([["d1", TAKEN]]) });
    listeners.said(WEB, SERVING);
    listeners.reported([serving("d1")]);
    expect(said()).toEqual(SERVING);
  });

  test("a failure of what the listener was before says nothing of what it is now", () => {
    const { listeners, said } = served([failing("d1", TAKEN)]);
    expect(said()).toMatchObject({ kind: "failed" });
    listeners.published(new Map([[WEB, listener("d2")]]));
    listeners.said(WEB, SERVING);
    expect(said()).toBeUndefined();
  });

  test("a listener that changes is not said to serve before the data plane has said it again", () => {
    const { listeners, said } = served();
    listeners.published(new Map([[WEB, listener("d2")]]));
    expect(said()).toBeUndefined();
    expect(listeners.report().serving.size).toBe(0);
    listeners.said(WEB, SERVING);
    expect(said()).toEqual(SERVING);
    expect([...listeners.report().serving]).toEqual(["d2"]);
  });

  test("a listener that is gone says nothing, whatever others still tell", () => {
    const { listeners, said } = served();
    listeners.reported([failing("d1", TAKEN)]);
    listeners.published(new Map([[WEB, undefined]]));
    listeners.said(WEB, SERVING);
    expect(said()).toBeUndefined();
    expect(listeners.report().serving.size).toBe(0);
  });

  test("a report is read as it was written; what there is no room for, or nobody understands, does not serve", () => {
    const report: ListenerReport = { serving: new Set(["d1", "d2"]), failed: new Map([["d3", TAKEN]]) };
    expect(readListeners(writeListeners(report))).toEqual(report);
    const many = new Map(Array.from({ length: 20_000 }, (_, i) => [`f${10_000_000 + i}`, TAKEN.repeat(9)]));
    const all = new Set(Array.from({ length: 20_000 }, (_, i) => String(10_000_000 + i)));
    const written = writeListeners({ serving: all, failed: many });
    expect(Buffer.byteLength(written)).toBeLessThan(250_000);
    expect(readListeners(written).serving.size).toBe(10_000);
    for (const odd of [undefined, "", "[", "null", "7", "[]", '{"serving":7,"failed":{}}', '{"serving":"a"}'])
      expect(readListeners(odd).serving.size).toBe(0);
  });
});

describe("what is published and not known to be served yet", () => {
  test("waits in one batch while the next gathers, the newest of each key", () => {
    const waiting: (() => void)[] = [];
    const taken: Record<string, number>[] = [];
    const batches = new ServedBatches<string, number>(
      (served) => waiting.push(served),
      (batch) => taken.push(Object.fromEntries(batch)),
    );
    for (let i = 0; i < 1000; i++) {
      batches.add(`r${i % 3}`, i);
      batches.published();
    }
    expect(waiting).toHaveLength(1);
    waiting.shift()?.();
    expect(taken).toEqual([{ r0: 0 }]);
    waiting.shift()?.();
    expect(taken[1]).toEqual({ r0: 999, r1: 997, r2: 998 });
    expect(waiting).toEqual([]);
  });

  test("an older value may be kept in part", () => {
    const taken: number[] = [];
    const waiting: (() => void)[] = [];
    const batches = new ServedBatches<string, number>(
      (served) => waiting.push(served),
      (batch) => taken.push(...batch.values()),
    );
    for (const value of [1, 2, 3]) {
      batches.add("r", value, (older, newer) => older + newer);
      batches.published();
    }
    while (waiting.length > 0) waiting.shift()?.();
    expect(taken).toEqual([1, 5]);
  });
});

describe("what proxies say of a route", () => {
  const GW = "Gateway/default/gw" as Key<"Gateway">;
  const KEY = "ServiceRoute/default/r" as RouteKey;
  const served = (live: number, total: number) => new Map([[GW, { live, total }]]);
  const version = (uid: string) => ({ uid, generation: 1, resourceVersion: "1" });

  test("F37: an object of the same name, of which proxies have said already that they serve it, is served", () => {
    const told: string[] = [];
    const liveness = new ProxyLiveness((_key, { live, total }) => told.push(`${live}/${total}`));
    liveness.said(KEY, served(1, 1));
    liveness.published(KEY, version("a"));
    liveness.said(KEY, served(1, 1));
    liveness.forget(KEY);
    liveness.published(KEY, version("b"));
    expect(told).toEqual(["1/1", "1/1"]);
  });

  test("who comes later takes nothing back, a refusal does, and what is gone is forgotten", () => {
    const told: string[] = [];
    const liveness = new ProxyLiveness((_key, { live, total, rejected = "" }) =>
      told.push(`${live}/${total}${rejected}`),
    );
    liveness.published(KEY, version("a"));
    liveness.said(KEY, served(1, 1));
    liveness.said(KEY, served(1, 2));
    liveness.said(KEY, new Map([[GW, { live: 0, total: 2, rejected: " no" }]]));
    liveness.said(KEY, new Map());
    liveness.forget(KEY);
    liveness.published(KEY, version("b"));
    expect(told).toEqual(["1/1", "0/2 no"]);
  });
});
