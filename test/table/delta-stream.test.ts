import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type DeltaResponse, DeltaStream } from "../../src/xds/ads/delta-stream.ts";
import { type Resource, type ResourceId, type ResourceType, idOf, partsOf } from "../../src/xds/resources/resource.ts";

const resource = (type: ResourceType, name: string, version: string, uses: readonly ResourceId[] = []): Resource => ({
  id: idOf(type, name),
  type,
  name,
  version,
  bytes: new Uint8Array(),
  uses,
});
const cluster = (name: string, version = "1"): Resource =>
  resource("Cluster", name, version, [idOf("ClusterLoadAssignment", name)]);
const assignment = (name: string, version = "1"): Resource => resource("ClusterLoadAssignment", name, version);
const routes = (version: string, ...clusters: string[]): Resource =>
  resource(
    "RouteConfiguration",
    "rc",
    version,
    clusters.map((name) => idOf("Cluster", name)),
  );
const listener = (version = "1"): Resource => resource("Listener", "l", version);

/** A stream, and what is said on it. */
class Talk {
  view: Map<ResourceId, Resource> | undefined = new Map();
  readonly refused: string[] = [];
  readonly acked: string[] = [];
  now = 0;
  readonly stream = new DeltaStream(() => this.view, {
    taken: (_type, resources) => this.acked.push(...resources.map(({ id }) => id)),
    refused: ({ name }, message) => this.refused.push(`${name}: ${message}`),
  });

  put(...all: Resource[]): void {
    for (const one of all) this.view?.set(one.id, one);
    this.stream.changed(all.map(({ id }) => id));
  }
  drop(...ids: ResourceId[]): void {
    for (const id of ids) this.view?.delete(id);
    this.stream.changed(ids);
  }
  subscribe(type: ResourceType, names: readonly string[] = [], initialVersions: Record<string, string> = {}): void {
    this.stream.request({ type, subscribe: names, unsubscribe: [], initialVersions, nonce: "" });
  }
  /** What is sent now, and what it is answered. */
  answer(error?: string): DeltaResponse[] {
    const sent = this.take();
    for (const { type, nonce } of sent) this.say(type, nonce, error);
    return sent;
  }
  say(type: ResourceType, nonce: string, error?: string): void {
    this.stream.request({ type, subscribe: [], unsubscribe: [], initialVersions: {}, nonce, error });
  }
  take(): DeltaResponse[] {
    return this.stream.take(this.now);
  }
}
const told = (responses: readonly DeltaResponse[]): string[] =>
  responses.flatMap(({ type, resources, removed }) => [
    ...resources.map(({ name, version }) => `${type} ${name} ${version}`),
    ...removed.map((name) => `${type} ${name} gone`),
  ]);

describe("a delta stream", () => {
  test("who asks for everything is answered, though there be nothing, and who asks by name only about that", () => {
    const talk = new Talk();
    talk.subscribe("Cluster");
    expect(talk.answer()).toMatchObject([{ type: "Cluster", resources: [], removed: [] }]);
    expect(talk.take()).toEqual([]);
    talk.put(cluster("a"), assignment("a"), assignment("b"));
    talk.subscribe("ClusterLoadAssignment", ["a", "none"]);
    expect(told(talk.answer())).toEqual([
      "Cluster a 1",
      "ClusterLoadAssignment a 1",
      "ClusterLoadAssignment none gone",
    ]);
  });

  test("F10: nothing is said before it is known what there is, and everything then", () => {
    const talk = new Talk();
    talk.view = undefined;
    talk.subscribe("Cluster");
    expect(talk.take()).toEqual([]);
    talk.view = new Map([cluster("a")].map((one) => [one.id, one]));
    talk.stream.changedAll();
    expect(told(talk.take())).toEqual(["Cluster a 1"]);
  });

  test("F20: one response of a type is on its way; what changes meanwhile comes together, in its last version", () => {
    const talk = new Talk();
    talk.subscribe("Cluster");
    talk.answer();
    talk.put(cluster("a"));
    const [first] = talk.take();
    talk.put(cluster("a", "2"));
    talk.put(cluster("a", "3"), cluster("b"));
    expect(talk.take()).toEqual([]);
    talk.say("Cluster", first!.nonce);
    expect(told(talk.take())).toEqual(["Cluster a 3", "Cluster b 1"]);
  });

  test("F19: an answer to another response is none, and the same version is never sent twice", () => {
    const talk = new Talk();
    talk.subscribe("Cluster");
    talk.put(cluster("a"));
    const [sent] = talk.take();
    talk.say("Cluster", "stale");
    talk.put(cluster("a", "2"));
    expect(talk.take()).toEqual([]);
    talk.say("Cluster", sent!.nonce);
    expect(told(talk.answer())).toEqual(["Cluster a 2"]);
    talk.put(cluster("a", "2"));
    expect(talk.take()).toEqual([]);
  });

  test("F22: routes wait until their clusters have endpoints, and go after a while all the same", () => {
    const talk = new Talk();
    for (const type of ["Cluster", "Listener"] as const) talk.subscribe(type);
    talk.subscribe("RouteConfiguration", ["rc"]);
    talk.put(cluster("a"), assignment("a"), listener(), routes("1", "a"));
    expect(told(talk.answer())).toEqual(["Cluster a 1", "Listener l 1"]);
    expect(talk.take()).toEqual([]);
    talk.now = 6000;
    expect(told(talk.take())).toEqual(["RouteConfiguration rc 1"]);
    const prompt = new Talk();
    for (const type of ["Cluster", "Listener"] as const) prompt.subscribe(type);
    prompt.subscribe("RouteConfiguration", ["rc"]);
    prompt.put(cluster("a"), assignment("a"), routes("1", "a"));
    prompt.answer();
    prompt.subscribe("ClusterLoadAssignment", ["a"]);
    expect(told(prompt.take())).toEqual(["ClusterLoadAssignment a 1"]);
    prompt.say("ClusterLoadAssignment", "3");
    expect(told(prompt.take())).toEqual(["RouteConfiguration rc 1"]);
  });

  test("P23: a cluster goes when no routes that the proxy may have name it", () => {
    const talk = ready();
    talk.drop(idOf("Cluster", "a"), idOf("ClusterLoadAssignment", "a"));
    talk.put(routes("2"));
    const [withRoutes] = talk.take().filter(({ type }) => type === "RouteConfiguration");
    expect(talk.take()).toEqual([]);
    talk.say("RouteConfiguration", withRoutes!.nonce);
    expect(told(talk.take())).toEqual(["Cluster a gone"]);
  });

  test("every cluster that is sent anew is followed by its endpoints, though they are the same", () => {
    const talk = ready();
    talk.put(cluster("a", "2"));
    expect(told(talk.take())).toEqual(["Cluster a 2", "ClusterLoadAssignment a 1"]);
  });

  test("F17: of what is refused together each is tried by itself, and only the bad one stays out", () => {
    const talk = new Talk();
    talk.subscribe("Cluster");
    talk.answer();
    const names = Array.from({ length: 9 }, (_, i) => `c${i}`);
    talk.put(...names.map((name) => cluster(name)));
    let rounds = 0;
    for (let sent = talk.take(); sent.length > 0; sent = talk.take(), rounds++) {
      const isBad = sent[0]!.resources.some(({ name }) => name === "c4");
      talk.say("Cluster", sent[0]!.nonce, isBad ? "bad" : undefined);
    }
    expect(talk.refused).toEqual(["c4: bad"]);
    const taken = names.filter((name) => talk.stream.taken(idOf("Cluster", name)) !== undefined);
    expect(taken).toEqual(names.filter((name) => name !== "c4"));
    expect(rounds).toBeLessThan(12);
    expect(talk.stream.isSettled).toBe(true);
    // F18: not again, until it is another.
    talk.put(cluster("c4"));
    expect(talk.take()).toEqual([]);
    talk.put(cluster("c4", "2"));
    expect(told(talk.take())).toEqual(["Cluster c4 2"]);
  });

  test("F21: who comes back is sent what differs, and told what is gone", () => {
    const talk = new Talk();
    talk.put(cluster("a"), cluster("b", "2"));
    talk.subscribe("Cluster", [], { a: "1", b: "1", c: "1" });
    expect(told(talk.answer())).toEqual(["Cluster b 2", "Cluster c gone"]);
    expect(talk.stream.taken(idOf("Cluster", "a"))?.version).toBe("1");
    expect(talk.acked, "what it has is as good as taken").toEqual(["Cluster/a", "Cluster/b"]);
    const same = new Talk();
    same.put(cluster("a"));
    same.subscribe("Cluster", [], { a: "1" });
    expect(same.take(), "with nothing new it is told nothing").toEqual([]);
  });

  test("who no longer wants something is sent it again when it wants it again", () => {
    const talk = new Talk();
    talk.put(assignment("a"));
    talk.subscribe("ClusterLoadAssignment", ["a"]);
    talk.answer();
    talk.stream.request({
      type: "ClusterLoadAssignment",
      subscribe: [],
      unsubscribe: ["a"],
      initialVersions: {},
      nonce: "",
    });
    talk.put(assignment("a", "2"));
    expect(talk.take()).toEqual([]);
    talk.subscribe("ClusterLoadAssignment", ["a"]);
    expect(told(talk.take())).toEqual(["ClusterLoadAssignment a 2"]);
  });
});

/** A proxy that has one cluster, and routes to it. */
function ready(): Talk {
  const talk = new Talk();
  talk.put(cluster("a"), assignment("a"), listener(), routes("1", "a"));
  for (const type of ["Cluster", "Listener"] as const) talk.subscribe(type);
  talk.subscribe("ClusterLoadAssignment", ["a"]);
  talk.subscribe("RouteConfiguration", ["rc"]);
  while (talk.answer().length > 0);
  return talk;
}

/** A proxy that does what Envoy does: it asks for the endpoints of the clusters that it gets. */
class ModelProxy {
  readonly clusters = new Map<string, Resource>();
  readonly warm = new Set<string>();
  routes: Resource | undefined;
  violations: string[] = [];

  /** @returns What it asks for then. */
  take({ type, resources, removed }: DeltaResponse): string[] {
    if (type === "ClusterLoadAssignment") for (const { name } of resources) this.warm.add(name);
    if (type === "RouteConfiguration") {
      [this.routes] = resources;
      for (const id of this.routes?.uses ?? []) this.#needs(id, "routes name it before it is warm");
    }
    if (type !== "Cluster") return [];
    for (const one of resources) this.clusters.set(one.name, one);
    for (const name of removed) {
      if (this.routes?.uses.includes(idOf("Cluster", name)) === true) this.violations.push(`${name} is gone too early`);
      this.clusters.delete(name);
      this.warm.delete(name);
    }
    return resources.map(({ name }) => name);
  }

  #needs(id: ResourceId, why: string): void {
    const [, name] = partsOf(id);
    if (!this.clusters.has(name) || !this.warm.has(name)) this.violations.push(`${name}: ${why}`);
  }
}

describe("P23: the order of what a proxy is sent", () => {
  const NAMES = ["a", "b", "c", "d"];
  const step = fc.oneof(
    fc.record({ kind: fc.constant("routes" as const), uses: fc.subarray(NAMES) }),
    fc.record({ kind: fc.constant("endpoints" as const), name: fc.constantFrom(...NAMES), version: fc.nat(5) }),
    fc.record({ kind: fc.constant("answer" as const), count: fc.integer({ min: 1, max: 3 }) }),
  );

  test("never names a cluster that is not there with its endpoints, whatever changes and however slowly it answers", () => {
    let transitions = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 40 }), (steps) => {
        const [talk, proxy] = [new Talk(), new ModelProxy()];
        for (const type of ["Cluster", "Listener"] as const) talk.subscribe(type);
        talk.subscribe("RouteConfiguration", ["rc"]);
        const onTheWay: DeltaResponse[] = [];
        const receive = (): void => {
          onTheWay.push(...talk.take());
          const next = onTheWay.shift();
          if (next === undefined) return;
          const wanted = proxy.take(next);
          talk.say(next.type, next.nonce);
          if (wanted.length > 0) talk.subscribe("ClusterLoadAssignment", wanted);
        };
        let version = 0;
        for (const one of steps) {
          transitions++;
          if (one.kind === "endpoints") talk.put(assignment(one.name, String(one.version)));
          else if (one.kind === "answer") for (let i = 0; i < one.count; i++) receive();
          else {
            for (const name of one.uses) talk.put(cluster(name), assignment(name));
            talk.put(routes(String(++version), ...one.uses));
            const gone = NAMES.filter((name) => !one.uses.includes(name));
            talk.drop(...gone.flatMap((name) => [idOf("Cluster", name), idOf("ClusterLoadAssignment", name)]));
          }
        }
        for (let i = 0; i < 60; i++) receive();
        expect(proxy.violations).toEqual([]);
        expect(talk.stream.isSettled).toBe(true);
        const wanted = [...(talk.view?.keys() ?? [])].filter((id) => id.startsWith("Cluster/"));
        expect([...proxy.clusters.keys()].map((name) => idOf("Cluster", name)).sort()).toEqual(wanted.sort());
        expect(proxy.routes?.version).toBe(version === 0 ? undefined : String(version));
      }),
      { numRuns: 500 },
    );
    console.log(`# P23: ${transitions} transitions, orderings violated 0`);
    expect(transitions).toBeGreaterThan(1000);
  });
});
