import { describe, expect, test } from "vitest";
import { ReplicaBook } from "../../src/status/replica-book.ts";

const START = Date.parse("2026-01-01T00:00:00Z");

/** A Lease as a replica writes it. */
function lease(name: string, version: string, through = "7", more: object = {}) {
  return {
    metadata: {
      name: `lease-${name}`,
      resourceVersion: version,
      annotations: {
        "serviceroute.dev/served-through": through,
        "serviceroute.dev/listeners": '{"serving":"d1 d2","failed":{}}',
      },
    },
    spec: { holderIdentity: name, renewTime: "2026-01-01T00:00:00.000000Z", ...more },
  };
}
const added = (object: object) => ({ type: "ADDED", object });
const deleted = (object: object) => ({ type: "DELETED", object });

class Rig {
  time = 0;
  readonly book = new ReplicaBook({
    identity: "me",
    heartbeatMs: 5000,
    monotonic: () => this.time,
    now: () => START + this.time,
  });
  /** `replica` of those that are alive; undefined while nothing is known. */
  alive(): string[] | undefined {
    const alive = this.book.alive();
    return alive === undefined ? undefined : [...alive.values()].map(({ replica }) => replica);
  }
  /** Time passes, and the watch goes on telling of our own heartbeat. */
  wait(seconds: number): void {
    for (const end = this.time + seconds * 1000; this.time < end; this.book.changed([]))
      this.time = Math.min(end, this.time + 5000);
  }
}
const rigWith = (...items: object[]): Rig => {
  const rig = new Rig();
  rig.book.replace(items);
  return rig;
};

describe("the book of replicas", () => {
  test("knows nothing before the first list, and after it everybody else, with what they report", () => {
    expect(new Rig().alive()).toBeUndefined();
    expect(rigWith().alive()).toEqual([]);
    const rig = rigWith(lease("a", "1"), lease("me", "2"), lease("b", "3", "12"));
    expect([...(rig.book.alive() ?? [])]).toEqual([
      [
        "lease-a 1",
        { replica: "a", servedThrough: 7n, listeners: { serving: new Set(["d1", "d2"]), failed: new Map() } },
      ],
      ["lease-b 3", expect.objectContaining({ replica: "b", servedThrough: 12n })],
    ]);
  });

  test("knows nothing from the moment on that it cannot list, and buries nobody, until it hears again", () => {
    const rig = rigWith(lease("a", "1"));
    rig.wait(5);
    rig.book.cutOff();
    expect(rig.alive()).toBeUndefined();
    rig.time += 60_000;
    expect(rig.book.takeDead()).toEqual([]);
    rig.book.replace([lease("a", "1"), lease("b", "2", "7", { renewTime: "2026-01-01T00:01:05.000000Z" })]);
    expect(rig.alive()).toEqual(["a", "b"]);
  });

  test("holds nobody for dead for a list that comes late, unless it was dead before", () => {
    const rig = rigWith(lease("a", "1"), lease("dead", "1"));
    rig.wait(14);
    rig.book.changed([added(lease("a", "2"))]);
    rig.wait(5);
    rig.book.cutOff();
    rig.time += 11_400;
    rig.book.replace([lease("a", "2"), lease("dead", "1")]);
    expect(rig.alive()).toEqual(["a"]);
    // It was 5 s old before the silence, and is given back all but 2.5 s of that.
    rig.wait(7.5);
    expect(rig.alive()).toEqual(["a"]);
    rig.wait(0.001);
    expect(rig.alive()).toEqual([]);
  });

  test("holds nobody for dead because its last heartbeat is longer ago than our own when all falls silent", () => {
    const rig = rigWith(lease("a", "1"));
    rig.time = 4900;
    rig.book.changed([]);
    rig.time = 19_900;
    expect(rig.alive()).toEqual(["a"]);
    rig.time += 1;
    expect(rig.alive()).toBeUndefined();
    rig.book.changed([]);
    expect(rig.alive()).toEqual(["a"]);
  });

  test("takes no notice of Leases that say nothing that it understands", () => {
    const odd = [
      lease("", "1"),
      lease("a", "1", "x7"),
      lease("b", "1", "7x"),
      lease("c", "1", ""),
      { metadata: {} },
      {},
    ];
    expect(rigWith(...odd, { ...lease("d", "1"), metadata: { name: "d" } }).alive()).toEqual([]);
    expect(rigWith({ spec: {} }).alive()).toEqual([]);
  });

  test("follows what changes, comes and goes", () => {
    const rig = rigWith(lease("a", "1"));
    rig.book.changed([added(lease("b", "2")), { type: "MODIFIED", object: lease("a", "3", "9") }]);
    expect([...(rig.book.alive()?.keys() ?? [])]).toEqual(["lease-a 3", "lease-b 2"]);
    rig.book.changed([deleted(lease("a", "4"))]);
    expect(rig.alive()).toEqual(["b"]);
    rig.book.replace([lease("c", "5")]);
    expect(rig.alive()).toEqual(["c"]);
  });

  test("holds one for dead when it has said nothing new for 15 seconds, by the clock here", () => {
    const rig = rigWith(lease("a", "1"), lease("b", "1"));
    rig.wait(14);
    rig.book.changed([added(lease("a", "2")), added(lease("b", "1"))]);
    rig.wait(1);
    expect(rig.alive()).toEqual(["a", "b"]);
    rig.wait(0.001);
    expect(rig.alive()).toEqual(["a"]);
    rig.book.changed([added(lease("b", "2"))]);
    expect(rig.alive()).toEqual(["a", "b"]);
  });

  test("holds nobody for dead while the watch is silent, and gives the time of it back", () => {
    const rig = rigWith(lease("a", "1"));
    rig.time = 15_000;
    expect(rig.alive()).toEqual(["a"]);
    rig.time = 15_001;
    expect(rig.alive()).toBeUndefined();
    rig.time = 100_000;
    expect(rig.book.takeDead()).toEqual([]);
    rig.book.changed([]);
    expect(rig.alive()).toEqual(["a"]);
    rig.wait(12.5);
    expect(rig.alive()).toEqual(["a"]);
    rig.wait(0.001);
    expect(rig.alive()).toEqual([]);
  });

  test.for<[string, number, (rig: Rig) => void]>([
    ["heartbeats that come late", 8000, (rig) => rig.book.changed([])],
    ["a watch that ends again and again", 4000, (rig) => rig.book.changed([])],
    ["lists alone, because nobody else speaks", 26_000, (rig) => rig.book.replace([lease("a", "1")])],
  ])("%s do not keep the dead", ([, everyMs, hear]) => {
    const rig = rigWith(lease("a", "1"));
    let rounds = 0;
    for (; rig.alive()?.length !== 0 && rounds < 100; rounds++) {
      rig.book.cutOff();
      rig.time += everyMs;
      hear(rig);
    }
    expect(rounds).toBeLessThanOrEqual(11);
  });

  test("is told nothing new by a list that has what was known", () => {
    const rig = rigWith(lease("a", "1"));
    rig.wait(10);
    rig.book.replace([lease("a", "1"), {}]);
    rig.wait(5.001);
    expect(rig.alive()).toEqual([]);
    rig.book.changed([deleted({})]);
  });

  test("gives no lifetime after what is no silence yet", () => {
    const rig = rigWith(lease("a", "1"));
    rig.time = 7500;
    rig.book.changed([]);
    rig.wait(7.501);
    expect(rig.alive()).toEqual([]);
  });

  test("judges a Lease that was there before by its writer's clock, an old one until it changes", () => {
    const at = (seconds: number) => ({ renewTime: new Date(START - seconds * 1000).toISOString() });
    const rig = rigWith(
      lease("old", "1", "7", at(61)),
      lease("new", "1", "7", at(60)),
      lease("none", "1", "7", { renewTime: undefined }),
    );
    expect(rig.alive()).toEqual(["new", "none"]);
    rig.book.changed([added(lease("old", "2", "7", at(61)))]);
    expect(rig.alive()).toEqual(["old", "new", "none"]);
  });

  test("hands out what is left of the dead after a minute, once, with the version to remove", () => {
    const rig = rigWith(
      lease("a", "1"),
      lease("b", "1"),
      lease("old", "9", "7", { renewTime: "2025-01-01T00:00:00Z" }),
    );
    rig.wait(10);
    rig.book.changed([added(lease("b", "2"))]);
    rig.wait(50);
    expect(rig.book.takeDead()).toEqual([]);
    rig.time += 1;
    expect(rig.book.takeDead()).toEqual([
      { name: "lease-a", version: "1" },
      { name: "lease-old", version: "9" },
    ]);
    expect(rig.book.takeDead()).toEqual([]);
    rig.book.changed([added(lease("a", "3", "7", { renewTime: undefined }))]);
    expect(rig.alive()).toEqual(["a"]);
  });
});
