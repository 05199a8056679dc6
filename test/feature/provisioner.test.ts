import { afterEach, describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import type { KubeObject } from "../../src/api/objects.ts";
import { type WantedService, assignPorts } from "../../src/provision/gateway-services.ts";
import { Provisioner } from "../../src/provision/provisioner.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { serviceNameOf } from "../../src/translate/gateway-service.ts";
import { until } from "../support/data-plane.ts";
import { FakeApi, reply } from "../support/fake-api.ts";

const wanted = (gateway: string): WantedService => ({
  namespace: "default",
  gateway,
  uid: gateway,
  service: `${gateway}-serviceroute`,
  ports: [80],
  labels: {},
  annotations: {},
});
/** After which somebody's change is taken for a first one. */
const LONG_MS = 130_000;
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A provisioner beside an API that refuses the Services of these Gateways; what it accepts is live, after its webhook. */
async function rig(
  refused: readonly string[],
  gateways: readonly string[],
  webhook: (service: KubeObject<"Service">) => KubeObject<"Service"> = (service) => service,
) {
  const live = new Map<string, KubeObject<"Service">>();
  const slices = new Map<string, KubeObject<"EndpointSlice">>();
  const api = new FakeApi(({ path, body }, response) => {
    const name = path.split("/").at(-1) ?? "";
    if (refused.includes(name.replace("-serviceroute", ""))) return reply(response, 403, { message: "exceeded quota" });
    if (path.includes("/services/")) live.set(name, webhook(body as KubeObject<"Service">));
    else slices.set(name, body as KubeObject<"EndpointSlice">);
    reply(response, 200, body);
  });
  const client = await api.start();
  const state = { leading: true, ms: 0, pods: [{ address: "198.51.100.1", port: 0 }] };
  const provisioner = new Provisioner({
    client,
    log: createLogger("silent"),
    random: Math.random,
    monotonic: () => performance.now() + state.ms,
    isLeader: () => state.leading,
    wanted: () => gateways.map(wanted),
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
      () => live.set(name, { ...service, spec: { ...service.spec, ports: [{ port: 80, targetPort: 20_005 }] } }),
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
  const live = (targets: Readonly<Record<string, number>>) =>
    new Map(
      Object.entries(targets).map(([name, targetPort]) => [
        `default/${name}-serviceroute`,
        { spec: { ports: [{ port: 80, targetPort }] } } as KubeObject<"Service">,
      ]),
    );
  const given = (targets: Readonly<Record<string, number>>, last: Readonly<Record<string, number>> = {}) => {
    const before = new Map(
      Object.entries(last).map(([name, port]) => [`default/${name}-serviceroute`, new Map([[80, port]])]),
    );
    const assigned = assignPorts([wanted("a"), wanted("b")], live(targets), before);
    return ["a", "b"].map((name) => assigned.get(`default/${name}-serviceroute`)?.get(80));
  };

  test("are what a Service says, else the first that none has", () => {
    expect(given({})).toEqual([20_000, 20_001]);
    expect(given({ a: 20_007 })).toEqual([20_007, 20_000]);
    expect(given({ b: 20_000 })).toEqual([20_001, 20_000]);
    expect(given({ a: 20_000, b: 20_000 })).toEqual([20_000, 20_001]);
  });

  test("are none that is not ours to give", () => {
    for (const port of [80, 8080, 19_999, 30_000]) expect(given({ a: port })).toEqual([20_000, 20_001]);
  });

  test("are kept whatever their Service is edited to, and taken from no other", () => {
    expect(given({ a: 20_001, b: 20_001 }, { a: 20_000, b: 20_001 })).toEqual([20_000, 20_001]);
    expect(given({ a: 20_001, b: 20_001 }, { b: 20_001 })).toEqual([20_000, 20_001]);
    expect(given({ a: 20_009 }, { a: 20_000 })).toEqual([20_000, 20_001]);
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
