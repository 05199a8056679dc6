import { Writable } from "node:stream";
import { pino } from "pino";
import { afterEach, describe, expect, test } from "vitest";
import { Leader } from "../../src/status/leader.ts";
import { until } from "../support/data-plane.ts";
import { FakeApi, reply } from "../support/fake-api.ts";

const LEASES = "/apis/coordination.k8s.io/v1/namespaces/n/leases";
interface Stored {
  readonly kind?: string;
  readonly metadata: { readonly name?: string; readonly namespace?: string; readonly resourceVersion: string };
  readonly spec: {
    readonly holderIdentity: string;
    readonly leaseDurationSeconds: number;
    readonly renewTime?: string;
    readonly acquireTime?: string;
    readonly leaseTransitions?: number;
  };
}

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A Lease as an API server keeps it: a write with an old version is a conflict. */
class LeaseApi {
  readonly api: FakeApi;
  /** 0: the connection is cut, -1: there is no answer; else the status of every answer. */
  failing: number | undefined;
  stored: Stored | undefined;
  /** Writes are taken, but not answered. */
  isMute = false;
  #version = 1;

  constructor() {
    this.api = new FakeApi((call, response, incoming) => {
      if (this.failing === -1) return;
      if (this.failing === 0) return void incoming.socket.destroy();
      if (this.failing !== undefined) return reply(response, this.failing, {});
      if (call.method === "GET")
        return this.stored === undefined ? reply(response, 404, {}) : reply(response, 200, this.stored);
      const body = call.body as Stored;
      if (call.method === "PUT" && body.metadata.resourceVersion !== this.stored?.metadata.resourceVersion)
        return reply(response, 409, {});
      this.set(body.spec, body);
      if (!this.isMute) reply(response, 200, this.stored);
    });
  }

  set(spec: Partial<Stored["spec"]>, object: object = {}): void {
    const full = { holderIdentity: "other", leaseDurationSeconds: 15, ...spec };
    const old = (object as Partial<Stored>).metadata;
    this.stored = { ...object, metadata: { ...old, resourceVersion: String(++this.#version) }, spec: full };
  }

  writes(): { method: string; path: string; body: Stored }[] {
    return this.api.calls
      .filter(({ method }) => method !== "GET")
      .map(({ method, path, body }) => ({ method, path, body: body as Stored }));
  }
}

interface Line {
  readonly msg: string;
  readonly leading?: boolean;
  readonly code?: string;
  readonly err?: unknown;
}

async function rigWith(state: LeaseApi, random = 0) {
  const lines: Line[] = [];
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      lines.push(JSON.parse(chunk.toString()) as Line);
      done();
    },
  });
  const rig = { ms: 0, mayLead: true };
  const client = await state.api.start();
  cleanups.push(async () => state.api.stop());
  const leader = new Leader({
    client,
    namespace: "n",
    name: "l",
    identity: "me",
    log: pino(sink),
    random: () => random,
    monotonic: () => rig.ms,
    mayLead: () => rig.mayLead,
  });
  const stopping = new AbortController();
  const running = leader.start(stopping.signal);
  const stop = async (): Promise<void> => {
    stopping.abort();
    await running;
  };
  cleanups.push(stop);
  return Object.assign(rig, { leader, stop, lines, said: () => lines.map(({ msg }) => msg) });
}

describe("the leader", () => {
  test("F11: makes the Lease where there is none, renews it, and gives it back on the way out", async () => {
    const state = new LeaseApi();
    const rig = await rigWith(state, 1);
    await until("leading", () => rig.leader.isLeader);
    const started = performance.now();
    const [made] = state.writes();
    expect([made?.method, made?.path, made?.body.kind]).toEqual(["POST", LEASES, "Lease"]);
    expect(state.api.calls[0]).toMatchObject({ method: "GET", path: `${LEASES}/l` });
    expect((made?.body as { apiVersion?: string }).apiVersion).toBe("coordination.k8s.io/v1");
    expect(made?.body.metadata).toEqual({ name: "l", namespace: "n" });
    const { renewTime, acquireTime, ...spec } = made?.body.spec ?? { renewTime: "", acquireTime: "" };
    expect(spec).toEqual({ holderIdentity: "me", leaseDurationSeconds: 15, leaseTransitions: 0 });
    expect([renewTime === acquireTime, renewTime]).toEqual([true, expect.stringMatching(/\.[0-9]{6}Z$/)]);
    await until("renewed", () => state.writes().length === 2, 5000);
    expect(performance.now() - started).toBeGreaterThan(2200);
    const [, renewed] = state.writes();
    expect([renewed?.method, renewed?.path]).toEqual(["PUT", `${LEASES}/l`]);
    expect(renewed?.body.spec).toMatchObject({ holderIdentity: "me", acquireTime, leaseTransitions: 0 });
    expect(renewed?.body.spec.renewTime).not.toBe(renewTime);
    await rig.stop();
    expect(rig.leader.isLeader).toBe(false);
    expect(state.stored?.spec).toMatchObject({ holderIdentity: "", leaseDurationSeconds: 1, leaseTransitions: 1 });
    expect(rig.lines.map(({ msg, leading }) => [msg, leading])).toEqual([
      ["leading: writing statuses", true],
      ["not leading", false],
    ]);
  });

  test("F11: takes a Lease that was given back at once, and counts that it changed hands", async () => {
    const state = new LeaseApi();
    state.set({ holderIdentity: "", leaseTransitions: 4, acquireTime: "2020-01-01T00:00:00.000000Z" });
    const rig = await rigWith(state);
    await until("leading", () => rig.leader.isLeader);
    expect(state.stored?.spec).toMatchObject({ holderIdentity: "me", leaseTransitions: 5, leaseDurationSeconds: 15 });
    expect(state.stored?.spec.acquireTime).not.toContain("2020");
  });

  test("takes a Lease that says nothing after the time that such a Lease lasts", async () => {
    const state = new LeaseApi();
    state.stored = { metadata: { resourceVersion: "9" } } as Stored;
    const rig = await rigWith(state);
    await until("leading", () => rig.leader.isLeader);
    expect(state.stored.spec).toMatchObject({ holderIdentity: "me", leaseTransitions: 1 });
    await rig.stop();
    const held = new LeaseApi();
    held.set({ holderIdentity: "other" });
    held.stored = { ...held.stored!, spec: { holderIdentity: "other" } as Stored["spec"] };
    const waiting = await rigWith(held);
    await until("asked", () => held.api.calls.length === 1);
    waiting.ms = 15_001;
    await until("taken", () => waiting.leader.isLeader, 5000);
  });

  test("F12: an API server that says nothing is given up after four seconds, and nobody waits for it at the end", async () => {
    const state = new LeaseApi();
    state.failing = -1;
    const rig = await rigWith(state);
    await until("given up", () => rig.lines.length === 1, 6000);
    expect(rig.lines[0]).toMatchObject({ err: expect.any(String) as string, code: expect.any(String) as string });
    await until("asked again", () => state.api.calls.length === 2, 5000);
    const started = performance.now();
    await rig.stop();
    expect(performance.now() - started).toBeLessThan(1000);
    expect(rig.lines.length).toBe(1);
  }, 20_000);

  test("after a restart its own Lease is its own at once", async () => {
    const state = new LeaseApi();
    const acquireTime = "2020-01-01T00:00:00.000000Z";
    state.set({ holderIdentity: "me", leaseTransitions: 4, acquireTime });
    const rig = await rigWith(state);
    await until("leading", () => rig.leader.isLeader);
    expect(state.stored?.spec).toMatchObject({ leaseTransitions: 4, acquireTime });
  });

  test("F14: a holder is judged by what is seen here, not by its clock: by its own duration since it changed last", async () => {
    const state = new LeaseApi();
    state.set({ renewTime: "1999-01-01T00:00:00Z", leaseDurationSeconds: 20 });
    const rig = await rigWith(state);
    const asked = async (): Promise<void> => {
      const before = state.api.calls.length;
      await until("asked again", () => state.api.calls.length > before, 5000);
      await new Promise((resolve) => setTimeout(resolve, 50));
    };
    await until("asked", () => state.api.calls.length === 1);
    rig.ms = 19_000;
    state.set({ leaseDurationSeconds: 20 });
    await asked();
    rig.ms = 39_000;
    await asked();
    expect([rig.leader.isLeader, state.writes()]).toEqual([false, []]);
    rig.ms = 39_001;
    await until("taken over", () => rig.leader.isLeader, 5000);
  });

  test("F12, F13: without renewal the lead ends by its own clock, before anybody can take it", async () => {
    const state = new LeaseApi();
    const rig = await rigWith(state);
    await until("leading", () => rig.leader.isLeader);
    state.failing = 0;
    rig.ms = 9999;
    expect(rig.leader.isLeader).toBe(true);
    rig.ms = 10_000;
    expect(rig.leader.isLeader).toBe(false);
    await until("it is said", () => rig.said().includes("not leading"), 8000);
    expect(rig.said()).toContain("leader election could not ask the API server");
    const writes = state.writes().length;
    await rig.stop();
    expect(state.writes().length).toBe(writes);
  });

  test("of two that try one gets a conflict, and that is nothing to tell", async () => {
    const state = new LeaseApi();
    state.failing = 409;
    const rig = await rigWith(state);
    await until("tried", () => state.api.calls.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([rig.leader.isLeader, rig.said()]).toEqual([false, []]);
    state.failing = 500;
    await until("told", () => rig.said().length > 0, 5000);
    expect(rig.said()[0]).toBe("leader election could not ask the API server");
    expect(state.writes()).toEqual([]);
  });

  test("one that may not lead asks nothing, leads soon after it may, and gives the lead back when it may no more", async () => {
    const state = new LeaseApi();
    const rig = await rigWith(state);
    await until("leading", () => rig.leader.isLeader);
    rig.mayLead = false;
    await until("given back", () => state.stored?.spec.holderIdentity === "", 5000);
    expect(rig.leader.isLeader).toBe(false);
    const calls = state.api.calls.length;
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(state.api.calls.length).toBe(calls);
    const started = performance.now();
    rig.mayLead = true;
    await until("leading again", () => rig.leader.isLeader, 1500);
    expect(performance.now() - started).toBeLessThan(1500);
    expect(rig.said()).toEqual(["leading: writing statuses", "not leading", "leading: writing statuses"]);
  });

  test("a renewal that is cut off on the way out does not keep the Lease from being given back", async () => {
    const state = new LeaseApi();
    const rig = await rigWith(state);
    await until("leading", () => rig.leader.isLeader);
    state.isMute = true;
    await until("renewed", () => state.writes().length === 2, 5000);
    state.isMute = false;
    await rig.stop();
    expect(state.stored?.spec.holderIdentity).toBe("");
    expect(rig.said()).toEqual(["leading: writing statuses", "not leading"]);
  });

  test("a Lease that somebody else has taken meanwhile is not given back", async () => {
    const state = new LeaseApi();
    const rig = await rigWith(state);
    await until("leading", () => rig.leader.isLeader);
    state.set({ holderIdentity: "other" });
    await rig.stop();
    expect(state.stored?.spec.holderIdentity).toBe("other");
  });

  test("a Lease that cannot be given back runs out by itself", async () => {
    const state = new LeaseApi();
    const rig = await rigWith(state);
    await until("leading", () => rig.leader.isLeader);
    state.failing = 500;
    await rig.stop();
    expect(rig.leader.isLeader).toBe(false);
    expect(rig.lines.find(({ msg }) => msg === "the lease could not be released; it runs out by itself")).toMatchObject(
      {
        err: { message: expect.any(String) as string },
      },
    );
  });
});
