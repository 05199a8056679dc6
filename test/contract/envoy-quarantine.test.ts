import { once } from "node:events";
import { createServer } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import type { Key } from "../../src/api/keys.ts";
import { SCOPED_FROM } from "../../src/xds/gateway/table-book.ts";
import { Backend } from "../support/backend.ts";
import { send, until } from "../support/data-plane.ts";
import { EnvoyRig } from "../support/envoy-rig.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const LIMIT_MS = 2000;
/** Envoy's RE2 reads bytes, so that it refuses a character beyond them; other engines do not. */
const REFUSED = "/\\x{212A}";
const keyOf = (name: string): Key<"ServiceRoute"> => `ServiceRoute/default/${name}` as Key<"ServiceRoute">;
const rule = (path: string): string =>
  `rules: [{matches: [{path: {type: RegularExpression, value: '${path}'}}], backendRefs: [{name: web, port: 80}]}]`;

async function start(): Promise<{
  rig: EnvoyRig;
  service: string;
  get: (host: string, path?: string) => Promise<number>;
}> {
  const web = await new Backend("web").start();
  cleanups.push(async () => web.stop());
  const rig = await EnvoyRig.start();
  cleanups.push(async () => rig.close());
  const get = async (host: string, path = "/x"): Promise<number> =>
    (await send(rig.port, path, { host: `${host}.example.com` })).status;
  return { rig, service: serviceYaml("web", [web.port]), get };
}

const route = (name: string, path: string, generation = 1): string =>
  routeYaml(name, `hostnames: [${name}.example.com]\n${rule(path)}`, `generation: ${generation}`);
const good = (count: number): string => Array.from({ length: count }, (_, i) => route(`good${i}`, "/.*")).join("");
const isRefused = (rig: EnvoyRig, name: string): boolean => rig.programmed(keyOf(name))[1] === "RejectedByProxy";

describe("F17, F18: a route that Envoy refuses", () => {
  test("is named with Envoy's words, stays as it was, touches no other, and recovers when it is mended", async () => {
    const { rig, service, get } = await start();
    await rig.startEnvoy();
    rig.apply(service + route("r", "/old") + good(3));
    await until("all is served", () => rig.programmed(keyOf("r"))[0] === "True");
    rig.apply(service + route("r", REFUSED, 2) + good(4));
    await until("it is told", () => isRefused(rig, "r"), LIMIT_MS);
    expect(rig.programmed(keyOf("r"))[2]).toMatch(/^proxy-1: invalid escape sequence/);
    await until("the others go on", () => rig.programmed(keyOf("good3"))[0] === "True", LIMIT_MS);
    expect([await get("r", "/old"), await get("good0"), await get("good3")]).toEqual([200, 200, 200]);
    rig.apply(service + route("r", "/new", 3) + good(4));
    await until("it is served again", () => rig.programmed(keyOf("r"))[0] === "True", LIMIT_MS);
    expect([await get("r", "/new"), await get("r", "/old")]).toEqual([200, 404]);
  });

  test("is found among many that come with it", async () => {
    const { rig, service, get } = await start();
    await rig.startEnvoy();
    await until("the proxy is there", () => rig.proxies === 1);
    rig.apply(service + good(40) + route("bad1", REFUSED) + route("bad2", REFUSED));
    await until("both are told", () => isRefused(rig, "bad1") && isRefused(rig, "bad2"), LIMIT_MS);
    const others = Array.from({ length: 40 }, (_, i) => keyOf(`good${i}`));
    await until("the others are served", () => others.every((key) => rig.programmed(key)[0] === "True"), LIMIT_MS);
    expect([await get("good0"), await get("good39"), await get("bad1")]).toEqual([200, 200, 404]);
  });

  test("was there before the proxies that refuse it: what they serve is not touched while it is looked for", async () => {
    const { rig, service, get } = await start();
    rig.apply(service + good(20) + route("bad", REFUSED));
    expect(rig.programmed(keyOf("bad"))[1]).toBe("NoProxies");
    await rig.startEnvoy();
    await until("it is told", () => isRefused(rig, "bad"));
    await until("the others are served", () => rig.programmed(keyOf("good19"))[0] === "True", LIMIT_MS);
    expect([await get("good0"), await get("bad")]).toEqual([200, 404]);
    const second = await rig.startEnvoy();
    await until("the second has come", () => rig.proxies === 2);
    await rig.plane.settled();
    expect(second.exitCode).toBeNull();
    expect(rig.programmed(keyOf("good19"))[0]).toBe("True");
  });

  test("is told from others of its hostname in a table that is cut up", async () => {
    const { rig, service, get } = await start();
    const shared = (name: string, path: string): string =>
      routeYaml(name, `hostnames: [shared.example.com]\n${rule(path)}`, "generation: 1");
    const all =
      service + good(SCOPED_FROM * 2) + shared("one", "/one") + shared("bad", REFUSED) + shared("two", "/two");
    // Before any proxy is there, so that no version of anything is known to be good.
    rig.apply(all);
    await rig.startEnvoy();
    await until("it is told", () => isRefused(rig, "bad"));
    const others = ["one", "two", "good0", `good${SCOPED_FROM * 2 - 1}`];
    await until("all others are served", () => others.every((name) => rig.programmed(keyOf(name))[0] === "True"));
    expect([await get("shared", "/one"), await get("shared", "/two"), await get("good0")]).toEqual([200, 200, 200]);
  });

  test("a port that another has is told, and taken when it is free", async () => {
    const { rig, service } = await start();
    const other = createServer().listen(rig.port, "127.0.0.1");
    await once(other, "listening");
    rig.apply(service + good(1));
    await rig.startEnvoy();
    await until("it is told", () => rig.programmed(keyOf("good0"))[1] === "ListenerNotProgrammed");
    expect(rig.programmed(keyOf("good0"))[2]).toMatch(/cannot bind/);
    other.close();
    await until("it is served", () => rig.programmed(keyOf("good0"))[0] === "True");
  });
});
