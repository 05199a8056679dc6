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
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A provisioner beside an API that refuses the Services of these Gateways; what it accepts is live. */
async function rig(refused: readonly string[], gateways: readonly string[]) {
  const live = new Map<string, KubeObject<"Service">>();
  const slices = new Map<string, KubeObject<"EndpointSlice">>();
  const api = new FakeApi(({ path, body }, response) => {
    const name = path.split("/").at(-1) ?? "";
    if (refused.includes(name.replace("-serviceroute", ""))) return reply(response, 403, { message: "exceeded quota" });
    if (path.includes("/services/")) live.set(name, body as KubeObject<"Service">);
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
    const service = live.get(name)!;
    const again = (): void => {
      state.ms += 3000;
      provisioner.changed();
    };
    const edits: (() => void)[] = [
      () => live.set(name, { ...service, spec: { ...service.spec, type: "ClusterIP" } }),
      () => live.set(name, { ...service, spec: { ...service.spec, ports: [{ port: 80, targetPort: 20_005 }] } }),
      () => live.delete(name),
    ];
    for (const [i, edit] of edits.entries()) {
      edit();
      again();
      await until("mended", () => applied(`services/${name}`) === i + 2);
    }
    expect(live.get(name)).toEqual(service);
    for (const [i, edit] of [
      () => slices.delete(name),
      () => slices.set(name, { ...slices.get(name)!, endpoints: [] }),
      () => slices.set(name, { ...slices.get(name)!, ports: [] }),
    ].entries()) {
      edit();
      again();
      await until("mended", () => applied(`endpointslices/${name}`) === i + 2);
    }
    again();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([applied(`services/${name}`), applied(`endpointslices/${name}`)]).toEqual([4, 4]);
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
