import { Writable } from "node:stream";
import { pino } from "pino";
import { afterEach, describe, expect, test } from "vitest";
import type { ListenerReport, ReplicaReport } from "../../src/routing/programmed.ts";
import { Replicas } from "../../src/status/replicas.ts";
import { until } from "../support/data-plane.ts";
import { type Call, FakeApi, isWatch, line, list, reply } from "../support/fake-api.ts";

const LEASES = "/apis/coordination.k8s.io/v1/namespaces/system/leases";
const OWN = `${LEASES}/serviceroute-replica-me`;
const leaseOf = (name: string, version: string, through: string): object => ({
  metadata: {
    name: `serviceroute-replica-${name}`,
    resourceVersion: version,
    annotations: { "serviceroute.dev/served-through": through },
  },
  spec: { holderIdentity: name },
});
interface Body {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly annotations: Readonly<Record<string, string>>; readonly labels: object };
  readonly spec: { readonly holderIdentity: string; readonly renewTime: string };
}

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** One replica at an API server that holds these Leases; `write` says what it answers to writes, 0: nothing. */
async function rigWith(items: readonly object[], write: (call: Call) => number = () => 200) {
  const rig = {
    ready: true,
    ms: 0,
    said: [] as { msg: string; err?: string; lease?: string }[],
    listeners: { serving: new Set(["d1"]), failed: new Map() } as ListenerReport,
    reports: [] as (readonly ReplicaReport[] | undefined)[],
    send: undefined as ((event: string) => void) | undefined,
    endWatch: undefined as (() => void) | undefined,
  };
  const api = new FakeApi((call, response) => {
    if (isWatch(call)) {
      response.writeHead(200, { "content-type": "application/json" });
      response.flushHeaders();
      rig.send = (event) => void response.write(event);
      rig.endWatch = () => void response.end();
    } else if (call.method === "GET") reply(response, 200, list("10", items));
    else {
      const status = write(call);
      if (status === 0) return;
      reply(response, status, status < 400 ? { kind: "Lease" } : { kind: "Status", code: status, reason: "x" });
    }
  });
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      rig.said.push(JSON.parse(chunk.toString()) as (typeof rig.said)[number]);
      done();
    },
  });
  const replicas = new Replicas({
    client: await api.start(),
    namespace: "system",
    identity: "me",
    log: pino(sink),
    random: () => 0,
    monotonic: () => performance.now() + rig.ms,
    isReady: () => rig.ready,
    listeners: () => rig.listeners,
    reported: (others) => rig.reports.push(others),
  });
  const stop = new AbortController();
  const running = replicas.start(stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  cleanups.push(async () => {
    await end();
    await api.stop();
  });
  const writes = (method: string): Call[] => api.calls.filter((call) => call.method === method);
  return Object.assign(rig, { api, replicas, end, writes });
}
const annotations = (call: Call | undefined): Readonly<Record<string, string>> =>
  (call?.body as Body | undefined)?.metadata.annotations ?? {};

describe("a replica", () => {
  test("says nothing before it has everything, then how far it is and what it serves, and takes it back at the end", async () => {
    const rig = await rigWith([]);
    rig.replicas.served("41");
    await until("listed", () => rig.reports.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(rig.api.calls.filter(({ method }) => method !== "GET")).toEqual([]);
    rig.replicas.synced();
    await until("published", () => rig.writes("PATCH").length === 1);
    const [patch] = rig.writes("PATCH");
    expect(patch?.path).toBe(OWN);
    expect(annotations(patch)).toEqual({
      "serviceroute.dev/served-through": "41",
      "serviceroute.dev/listeners": '{"serving":"d1","failed":{}}',
    });
    const { apiVersion, kind, metadata, spec } = patch?.body as Body;
    expect([apiVersion, kind]).toEqual(["coordination.k8s.io/v1", "Lease"]);
    expect([metadata.labels, spec]).toMatchObject([
      { "serviceroute.dev/replica": "true" },
      { holderIdentity: "me", leaseDurationSeconds: 15 },
    ]);
    expect(Math.abs(Date.parse(spec.renewTime) - Date.now())).toBeLessThan(60_000);
    expect(spec.renewTime).toMatch(/\.[0-9]{6}Z$/);
    rig.replicas.served("42");
    await until(
      "published again",
      () => annotations(rig.writes("PATCH")[1])["serviceroute.dev/served-through"] === "42",
      2000,
    );
    expect([...rig.said]).toEqual([]);
    await rig.end();
    expect(rig.writes("DELETE").map(({ path }) => path)).toEqual([OWN]);
  });

  test("makes its Lease where there is none, and tries again when it cannot", async () => {
    let posts = 0;
    const rig = await rigWith([], ({ method }) =>
      method === "PATCH" ? 404 : method === "POST" && posts++ === 0 ? 500 : 201,
    );
    rig.replicas.served("5");
    rig.replicas.synced();
    await until("made", () => rig.writes("POST").length === 2, 5000);
    expect(rig.writes("POST").map(({ path }) => path)).toEqual([LEASES, LEASES]);
    expect(annotations(rig.writes("POST")[1])["serviceroute.dev/served-through"]).toBe("5");
    expect(rig.said).toMatchObject([
      {
        msg: "this replica could not report how far it is, and is not counted without",
        err: expect.any(String) as string,
      },
    ]);
    await new Promise((resolve) => setTimeout(resolve, 1300));
    expect(rig.writes("POST").length).toBe(2);
  });

  test("that gets no traffic any more takes its report back, once", async () => {
    const rig = await rigWith([]);
    rig.replicas.synced();
    await until("published", () => rig.writes("PATCH").length === 1);
    expect(annotations(rig.writes("PATCH")[0])["serviceroute.dev/served-through"]).toBe("0");
    rig.ready = false;
    rig.replicas.publish();
    await until("withdrawn", () => rig.writes("DELETE").length === 1);
    rig.replicas.publish();
    await rig.end();
    expect([rig.writes("DELETE").length, rig.writes("PATCH").length]).toEqual([1, 1]);
  });

  test("hears of the others with the first list, when there are none too, and whenever that changes", async () => {
    const alone = await rigWith([leaseOf("me", "1", "1")]);
    await until("heard", () => alone.reports.length > 0);
    expect(alone.reports).toEqual([[]]);
    const rig = await rigWith([leaseOf("a", "3", "7"), leaseOf("me", "4", "1")]);
    await until("heard", () => rig.reports.length > 0);
    expect(rig.reports[0]).toMatchObject([{ replica: "a", servedThrough: 7n }]);
    await until("watching", () => rig.api.calls.some(isWatch));
    await new Promise((resolve) => setTimeout(resolve, 50));
    rig.send?.(line("MODIFIED", leaseOf("me", "11", "2")));
    rig.send?.(line("MODIFIED", leaseOf("a", "12", "9")));
    await until("changed", () => rig.reports.length > 1);
    expect(rig.reports[1]).toMatchObject([{ replica: "a", servedThrough: 9n }]);
    rig.send?.(line("DELETED", leaseOf("a", "13", "9")));
    await until("gone", () => rig.reports.length > 2);
    expect(rig.reports[2]).toEqual([]);
    expect(rig.api.calls.find(isWatch)?.query.get("labelSelector")).toBe("serviceroute.dev/replica=true");
  });

  test("knows nothing of the others while they cannot be listed, and hears of them again in the same state too", async () => {
    const rig = await rigWith([leaseOf("a", "3", "7")]);
    await until("watching", () => rig.api.calls.some(isWatch));
    const { handler } = rig.api;
    rig.api.handler = (_call, response) => reply(response, 500, {});
    rig.send?.(line("ERROR", { code: 410 }));
    await until("told", () => rig.reports.length > 1, 5000);
    rig.api.handler = handler;
    await until("told again", () => rig.reports.length > 2);
    expect(rig.reports).toMatchObject([[{ replica: "a" }], undefined, [{ replica: "a" }]]);
  });

  test("knows nothing of the others from the end of a watch until the next one says something, and makes it speak", async () => {
    const rig = await rigWith([leaseOf("a", "3", "7")]);
    rig.replicas.synced();
    await until("watching", () => rig.send !== undefined);
    await until("published", () => rig.writes("PATCH").length === 1);
    const { send } = rig;
    rig.endWatch?.();
    await until("told", () => rig.reports.length > 1, 1000);
    await until("a heartbeat before its time", () => rig.writes("PATCH").length === 2, 2000);
    await until("watching again", () => rig.send !== send, 4000);
    rig.send?.(line("MODIFIED", leaseOf("me", "11", "1")));
    await until("told again", () => rig.reports.length > 2, 1000);
    expect(rig.reports).toMatchObject([[{ replica: "a" }], undefined, [{ replica: "a" }]]);
  });

  test("a watch that always ends makes no storm of heartbeats", async () => {
    const rig = await rigWith([]);
    rig.replicas.synced();
    for (const end = performance.now() + 4500; performance.now() < end;) {
      rig.endWatch?.();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    // The first, and one for the first watch that ended, unless that was before it.
    expect([1, 2]).toContain(rig.writes("PATCH").length);
  });

  test("tells at once, but what comes at once together", async () => {
    const rig = await rigWith([]);
    rig.replicas.synced();
    await until("published", () => rig.writes("PATCH").length === 1);
    for (let version = 1; version <= 20; version++) {
      rig.replicas.served(String(version));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await until(
      "told",
      () => annotations(rig.writes("PATCH").at(-1))["serviceroute.dev/served-through"] === "20",
      2000,
    );
    expect(rig.writes("PATCH").length).toBeLessThan(4);
    const told = rig.writes("PATCH").length;
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(rig.writes("PATCH").length).toBe(told);
  });

  test("F12: an API server that answers nothing is given up after four seconds, and nobody waits for it at the end", async () => {
    const rig = await rigWith([], () => 0);
    rig.replicas.synced();
    await until("given up", () => rig.said.length === 1, 6000);
    await until("tried again", () => rig.writes("PATCH").length === 2, 2500);
    const started = performance.now();
    await rig.end();
    expect(performance.now() - started).toBeLessThan(3500);
    expect(rig.said.map(({ msg }) => msg)).toEqual([
      "this replica could not report how far it is, and is not counted without",
      "this replica's report could not be removed; it runs out by itself",
    ]);
  }, 20_000);

  test("is told that another says nothing any more as soon as its own heartbeat comes, and is told it once", async () => {
    const rig = await rigWith([leaseOf("a", "3", "7")]);
    await until("watching", () => rig.send !== undefined);
    for (const [version, ms] of [
      ["11", 6000],
      ["12", 12_000],
    ] as const) {
      rig.ms = ms;
      rig.send?.(line("MODIFIED", leaseOf("me", version, "1")));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    rig.ms = 15_100;
    rig.send?.(line("MODIFIED", leaseOf("me", "13", "1")));
    await until("told", () => rig.reports.length > 1, 3000);
    rig.send?.(line("MODIFIED", leaseOf("me", "14", "1")));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(rig.reports).toMatchObject([[{ replica: "a" }], []]);
  });

  test.for<[number, readonly string[]]>([
    [200, []],
    [500, ["the report of a replica that is gone could not be removed"]],
  ])("removes what one that has been gone for a minute left, in that version alone: %s", async ([status, said]) => {
    const rig = await rigWith([leaseOf("a", "3", "7")], () => status);
    await until("watching", () => rig.send !== undefined);
    for (let version = 11; version < 22; version++) {
      rig.ms += 6000;
      rig.send?.(line("MODIFIED", leaseOf("me", String(version), "1")));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await until("removed", () => rig.writes("DELETE").length === 1);
    expect(rig.writes("DELETE")[0]).toMatchObject({
      path: `${LEASES}/serviceroute-replica-a`,
      body: { preconditions: { resourceVersion: "3" } },
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(rig.said.map(({ msg }) => msg)).toEqual(said);
    for (const one of rig.said)
      expect(one).toMatchObject({ lease: "serviceroute-replica-a", err: expect.any(String) as string });
    expect(rig.reports.at(-1)).toEqual([]);
  });
});
