import { afterEach, describe, expect, test } from "vitest";
import type { Key } from "../../src/api/keys.ts";
import { Backend } from "../support/backend.ts";
import { EnvoyRig } from "../support/envoy-rig.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";
import { until } from "../support/data-plane.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function rigWithBackend(): Promise<{ rig: EnvoyRig; web: Backend }> {
  const web = await new Backend("web").start();
  cleanups.push(async () => web.stop());
  const rig = await EnvoyRig.start();
  cleanups.push(async () => rig.close());
  return { rig, web };
}

const KEY = "ServiceRoute/default/r" as Key<"ServiceRoute">;
const RULES = "rules: [{backendRefs: [{name: web, port: 80}]}]";

describe("Programmed says what proxies have said", () => {
  test("no proxy: Unknown/NoProxies; then n of n, without any request; a new generation starts anew", async () => {
    const { rig, web } = await rigWithBackend();
    rig.apply(serviceYaml("web", [web.port]) + routeYaml("r", RULES));
    expect(rig.programmed(KEY)).toEqual(["Unknown", "NoProxies", "No proxy serves the Gateway's traffic."]);
    await rig.startEnvoy();
    await until("one serves it", () => rig.programmed(KEY)[0] === "True");
    expect(rig.programmed(KEY)).toEqual(["True", "Programmed", "live on 1 of 1"]);
    expect(web.seen).toEqual([]);
    await rig.startEnvoy();
    await until("the second has come", () => rig.proxies === 2);
    expect(rig.programmed(KEY), "who comes later takes nothing back").toEqual(["True", "Programmed", "live on 1 of 1"]);
    rig.apply(serviceYaml("web", [web.port]) + routeYaml("r", `hostnames: [b.example.com]\n${RULES}`, "generation: 2"));
    await until("both serve it", () => rig.programmed(KEY)[0] === "True");
    expect(rig.programmed(KEY)).toEqual(["True", "Programmed", "live on 2 of 2"]);
  });

  test("a proxy that stands still is waited for, and one that leaves is not", async () => {
    const { rig, web } = await rigWithBackend();
    rig.apply(serviceYaml("web", [web.port]) + routeYaml("r", RULES));
    const [slow] = [await rig.startEnvoy(), await rig.startEnvoy()];
    await until("both are there", () => rig.proxies === 2);
    await until("it is programmed", () => rig.programmed(KEY)[0] === "True");
    slow.pause();
    rig.apply(serviceYaml("web", [web.port]) + routeYaml("r", `hostnames: [b.example.com]\n${RULES}`, "generation: 2"));
    await until("the other serves it", () => rig.programmed(KEY)[2] === "live on 1 of 2");
    expect(rig.programmed(KEY)).toEqual(["Unknown", "Pending", "live on 1 of 2"]);
    await slow.stop();
    await until("it is programmed", () => rig.programmed(KEY)[0] === "True");
    expect(rig.programmed(KEY)).toEqual(["True", "Programmed", "live on 1 of 1"]);
  });
});
