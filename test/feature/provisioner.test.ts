import { afterEach, describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import type { KubeObject } from "../../src/api/objects.ts";
import {
  type Ports,
  type WantedService,
  assignPorts,
  serviceObject,
  sliceObject,
} from "../../src/provision/gateway-services.ts";
import { Provisioner } from "../../src/provision/provisioner.ts";
import { containerPorts, ownPorts, rankOf } from "../../src/routing/service-ports.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { serviceNameOf } from "../../src/translate/gateway-service.ts";
import { until } from "../support/data-plane.ts";
import { FakeApi, reply } from "../support/fake-api.ts";

const wanted = (gateway: string): WantedService => ({
  namespace: "default",
  gateway,
  uid: gateway,
  service: `${gateway}-serviceroute`,
  ports: [{ port: 80, transport: "TCP" }],
  labels: {},
  annotations: {},
});
/** After which somebody's change is taken for a first one. */
const LONG_MS = 130_000;
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const best = (uid: string, rank = 0): number => ownPorts(uid)[rank]!;
const portsOf = (live: ReadonlyMap<string, KubeObject<"Service">>): Map<string, Ports> =>
  new Map(
    [...live].map(([name, { spec }]) => [
      `default/${name}`,
      containerPorts(name.replace("-serviceroute", ""), spec?.ports),
    ]),
  );

/** A provisioner beside an API that refuses the Services of these Gateways; what it accepts is live, after its webhook. */
async function rig(
  refused: readonly string[],
  gateways: readonly string[],
  webhook: (service: KubeObject<"Service">) => KubeObject<"Service"> = (service) => service,
  silent: readonly string[] = [],
  stored: (slice: KubeObject<"EndpointSlice">) => KubeObject<"EndpointSlice"> = (slice) => slice,
) {
  const live = new Map<string, KubeObject<"Service">>();
  const slices = new Map<string, KubeObject<"EndpointSlice">>();
  const api = new FakeApi(({ path, body }, response) => {
    const name = path.split("/").at(-1) ?? "";
    if (silent.includes(name.replace("-serviceroute", ""))) return;
    if (refused.includes(name.replace("-serviceroute", ""))) return reply(response, 403, { message: "exceeded quota" });
    if (path.includes("/services/")) live.set(name, webhook(body as KubeObject<"Service">));
    else slices.set(name, stored(body as KubeObject<"EndpointSlice">));
    reply(response, 200, body);
  });
  const client = await api.start();
  const state = { leading: true, ms: 0, rounds: 0, pods: [{ address: "198.51.100.1", port: 0 }] };
  const provisioner = new Provisioner({
    client,
    log: createLogger("silent"),
    random: Math.random,
    monotonic: () => performance.now() + state.ms,
    isLeader: () => state.leading,
    wanted: () => {
      // A loop of microtasks alone would never let the test end.
      if (state.rounds++ > 20_000) throw new Error("the provisioner does not rest");
      return gateways.map(wanted);
    },
    livePorts: () => portsOf(live),
    liveService: (_namespace, name) => live.get(name),
    liveSlice: (_namespace, name) => slices.get(name),
    pods: () => state.pods,
  });
  const stop = new AbortController();
  const running = provisioner.start(stop.signal);
  cleanups.push(async () => {
    stop.abort();
    await running;
    await api.stop();
  });
  const applied = (path: string): number => api.count((call) => call.path.endsWith(path));
  return { state, provisioner, applied, live, slices };
}

describe("Services for Gateways", () => {
  test("one that is refused holds up no other, and is tried again in no storm", async () => {
    const { applied, provisioner } = await rig(["full"], ["full", "good"]);
    await until("the other has its Service and slice", () => applied("endpointslices/good-serviceroute") === 1);
    for (let i = 0; i < 50; i++) {
      provisioner.changed();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(applied("services/full-serviceroute")).toBeLessThan(5);
    expect(applied("services/good-serviceroute")).toBe(1);
  });

  test("what somebody else changes or removes of them is mended, and what is as it was is left alone", async () => {
    const { state, applied, provisioner, live, slices } = await rig([], ["one"]);
    const name = "one-serviceroute";
    await until("applied", () => applied(`endpointslices/${name}`) === 1);
    const again = (): void => {
      state.ms += LONG_MS;
      provisioner.changed();
    };
    const service = live.get(name)!;
    const edits: (() => void)[] = [
      () => live.set(name, { ...service, spec: { ...service.spec, type: "ClusterIP" } }),
      () =>
        live.set(name, { ...service, spec: { ...service.spec, ports: [{ port: 80, targetPort: best("one", 5) }] } }),
      () => live.set(name, { ...service, metadata: { ...service.metadata, labels: {} } }),
      () => live.delete(name),
    ];
    for (const [i, edit] of edits.entries()) {
      edit();
      again();
      await until("mended", () => applied(`services/${name}`) === i + 2);
    }
    expect(live.get(name)).toEqual(service);
    const slice = slices.get(name)!;
    const [endpoint] = slice.endpoints!;
    for (const [i, edit] of [
      () => slices.delete(name),
      () => slices.set(name, { ...slice, endpoints: [] }),
      () => slices.set(name, { ...slice, endpoints: [endpoint!, { addresses: ["198.51.100.66"] }] }),
      () => slices.set(name, { ...slice, endpoints: [{ ...endpoint!, conditions: { ready: false } }] }),
      () => slices.set(name, { ...slice, ports: [] }),
      () => slices.set(name, { ...slice, metadata: { ...slice.metadata, labels: {} } }),
    ].entries()) {
      edit();
      again();
      await until("mended", () => applied(`endpointslices/${name}`) === i + 2);
    }
    live.set(name, { ...service, metadata: { ...service.metadata, labels: { ...service.metadata.labels, more: "" } } });
    again();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([applied(`services/${name}`), applied(`endpointslices/${name}`)]).toEqual([5, 7]);
  });

  test("a webhook that always changes what is applied is answered less and less often", async () => {
    const mutate = (service: KubeObject<"Service">): KubeObject<"Service"> => ({
      ...service,
      spec: { ...service.spec, type: "ClusterIP" },
    });
    const { state, applied, provisioner } = await rig([], ["one"], mutate);
    const name = "one-serviceroute";
    await until("applied", () => applied(`endpointslices/${name}`) === 1);
    for (let second = 1; second <= 300; second++) {
      state.ms += 1000;
      provisioner.changed();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    // After 2, 4, 8, 16 and 32 seconds, and then every minute.
    expect(applied(`services/${name}`)).toBeGreaterThan(5);
    expect(applied(`services/${name}`)).toBeLessThan(12);
    expect(applied(`endpointslices/${name}`)).toBe(1);
  });

  test.for([15, 16, 40])("%i Gateways all get their Services, and then there is rest", async (count) => {
    const names = Array.from({ length: count }, (_, i) => `gw${i}`);
    const { state, applied, provisioner } = await rig([], names);
    await until(
      "all are there",
      () => names.every((name) => applied(`endpointslices/${name}-serviceroute`) === 1),
      5000,
    );
    const rounds = state.rounds;
    provisioner.changed();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(state.rounds - rounds).toBeLessThan(5);
    expect(names.map((name) => applied(`services/${name}-serviceroute`))).toEqual(names.map(() => 1));
  });

  test("sixteen whose webhooks do not answer hold up no seventeenth for long", async () => {
    const slow = Array.from({ length: 16 }, (_, i) => `slow${i}`);
    const { applied } = await rig([], [...slow, "good"], (service) => service, slow);
    await until("it is there", () => applied("endpointslices/good-serviceroute") === 1, 9000);
  });

  test("one whose webhook does not answer holds up no other", async () => {
    const { applied } = await rig([], ["slow", "good"], (service) => service, ["slow"]);
    await until("the other has its Service and slice", () => applied("endpointslices/good-serviceroute") === 1, 2000);
    await until("the slow one is given up and tried again", () => applied("services/slow-serviceroute") === 2, 12_000);
  });

  test("without a pod of ours the slice is empty, and left alone", async () => {
    const empty = (slice: KubeObject<"EndpointSlice">): KubeObject<"EndpointSlice"> => ({ ...slice, endpoints: null });
    const { state, applied, provisioner } = await rig([], ["one"], (service) => service, [], empty);
    state.pods = [];
    provisioner.changed();
    await until("applied", () => applied("endpointslices/one-serviceroute") > 0);
    const before = applied("endpointslices/one-serviceroute");
    for (let i = 0; i < 20; i++) {
      state.ms += 3000;
      provisioner.changed();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(applied("endpointslices/one-serviceroute") - before).toBeLessThanOrEqual(1);
  });

  test("after another has led, everything is applied again", async () => {
    const { state, applied, provisioner } = await rig([], ["one"]);
    await until("applied", () => applied("endpointslices/one-serviceroute") === 1);
    state.leading = false;
    provisioner.changed();
    await new Promise((resolve) => setTimeout(resolve, 100));
    state.leading = true;
    provisioner.changed();
    await until("applied again", () => applied("endpointslices/one-serviceroute") === 2);
  });
});

describe("container ports", () => {
  const claims = (targets: Readonly<Record<string, number>>): Map<string, Ports> =>
    new Map(Object.entries(targets).map(([name, port]) => [`default/${name}-serviceroute`, new Map([[80, port]])]));
  const given = (live: Readonly<Record<string, number>>, last: Readonly<Record<string, number>> = {}) => {
    const assigned = assignPorts([wanted("a"), wanted("b")], claims(live), claims(last));
    return ["a", "b"].map((name) => assigned.get(`default/${name}-serviceroute`)?.get(80));
  };
  const [a, b] = [best("a"), best("b")];

  test("are what a Service says, else the first of a Gateway's own that nobody has", () => {
    expect(given({})).toEqual([a, b]);
    expect(given({ a: best("a", 7) })).toEqual([best("a", 7), b]);
    expect(given({ b: a })).toEqual([best("a", 1), a]);
    expect(given({ gone: a })).toEqual([best("a", 1), b]);
  });

  test("that two Services claim go to whom they come first for, whoever is older", () => {
    expect(given({ a: b, b })).toEqual([a, b]);
    expect(given({ a, b: a })).toEqual([a, b]);
  });

  test("are kept whatever their Service is edited to, and taken from no other", () => {
    expect(given({ a: b, b }, { a, b })).toEqual([a, b]);
    expect(given({ a: b, b }, { b })).toEqual([a, b]);
    expect(given({ a: best("a", 9) }, { a })).toEqual([a, b]);
  });

  test("of a Gateway made anew under its name are its own", () => {
    expect(given({}, { a: best("a", 1) })).toEqual([best("a", 1), b]);
    expect(given({}, { a: best("another", 1) })).toEqual([a, b]);
  });

  test("of a Service are TCP, and none that is not its Gateway's own", () => {
    const said = (...ports: NonNullable<KubeObject<"Service">["spec"]>["ports"] & object): [number, number][] => [
      ...containerPorts("a", ports),
    ];
    expect(said({ port: 80, targetPort: a }, { port: 81, protocol: "TCP", targetPort: best("a", 1) })).toEqual([
      [80, a],
      [81, best("a", 1)],
    ]);
    expect(said({ port: 80, protocol: "TCP", targetPort: a }, { port: 80, protocol: "UDP", targetPort: b })).toEqual([
      [80, a],
    ]);
    for (const targetPort of [80, 8080, 19_999, 30_000, b, "http", undefined])
      expect(said({ port: 80, targetPort })).toEqual([]);
  });

  test("of one number for TCP and UDP are one, and the Service and its endpoints have both", () => {
    const both: WantedService = {
      ...wanted("a"),
      ports: [
        { port: 53, transport: "UDP" },
        { port: 53, transport: "TCP" },
      ],
    };
    const ports = assignPorts([both], new Map(), new Map()).get("default/a-serviceroute") ?? new Map();
    const service = serviceObject(both, ports).spec.ports;
    expect(service).toEqual([
      { name: "port-53-udp", port: 53, targetPort: a, protocol: "UDP" },
      { name: "port-53", port: 53, targetPort: a, protocol: "TCP" },
    ]);
    expect(sliceObject(both, ports, []).ports).toEqual([
      { name: "port-53-udp", port: a, protocol: "UDP" },
      { name: "port-53", port: a, protocol: "TCP" },
    ]);
    for (const transport of ["TCP", "UDP"] as const)
      expect([...containerPorts("a", service, transport)]).toEqual([[53, a]]);
  });

  test("of a uid are the same in every version: a replica of the next one binds what this one does", () => {
    expect(ownPorts("6f1c2f0e-8f7d-4f57-9f0a-1d5b0e0b7a11").slice(0, 4)).toEqual([21_710, 24_763, 27_816, 20_869]);
  });

  test("are 128 different ones between 20000 and 29999 for each Gateway, and spread", () => {
    const uids = Array.from({ length: 200 }, (_, i) => `00000000-0000-4000-8000-${String(i).padStart(12, "0")}`);
    for (const uid of uids) {
      const ports = ownPorts(uid);
      expect(new Set(ports).size).toBe(128);
      expect(Math.min(...ports)).toBeGreaterThanOrEqual(20_000);
      expect(Math.max(...ports)).toBeLessThan(30_000);
      expect([rankOf(uid, ports[0]!), rankOf(uid, ports[127]!), rankOf(uid, 80)]).toEqual([0, 127, 128]);
    }
    expect(new Set(uids.map((uid) => best(uid))).size).toBeGreaterThan(190);
  });
});

test("the Service of a Gateway has a name that a Service may have, and no other Gateway's", () => {
  const nameOf = (gateway: string): string => serviceNameOf(keyOf("Gateway", "default", gateway));
  expect(nameOf("public")).toBe("public-serviceroute");
  expect(nameOf("x".repeat(50))).toBe(`${"x".repeat(50)}-serviceroute`);
  expect(nameOf("x".repeat(51))).toMatch(/^x+-[0-9a-f]{8}-serviceroute$/);
  const odd = ["a.b", "a-b.", "7", "7.a", `${"x".repeat(60)}a`, `${"x".repeat(60)}b`, "y".repeat(253)];
  const names = odd.map(nameOf);
  for (const name of names) expect(name).toMatch(/^[a-z]([a-z0-9-]{0,61}[a-z0-9])$/);
  expect(new Set([...names, nameOf("a-b")]).size).toBe(odd.length + 1);
});
