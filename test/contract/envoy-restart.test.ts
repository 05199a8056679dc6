import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import type { Key } from "../../src/api/keys.ts";
import { Backend } from "../support/backend.ts";
import { send, until } from "../support/data-plane.ts";
import type { Envoy } from "../support/envoy.ts";
import { EnvoyRig } from "../support/envoy-rig.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const FULL = process.env["SERVICEROUTE_TEST_SIZE"] === "full";
const AWAY_MS = FULL ? 120_000 : 3000;
const ROUTES = 5000;
const HALF_A_MINUTE = 30_000;
const keyOf = (name: string): Key<"ServiceRoute"> => `ServiceRoute/default/${name}` as Key<"ServiceRoute">;
const route = (i: number): string =>
  routeYaml(
    `h${i}`,
    `hostnames: [h${i}.example.com]\nrules: [{backendRefs: [{name: web, port: 80}]}]`,
    "generation: 1",
  );

/** What Envoy counts of updates that it has taken, by the kind of resource. */
async function updates(envoy: Envoy): Promise<Record<string, number>> {
  const text = await envoy.admin("/stats?filter=(update_success|config_reload)$");
  return Object.fromEntries(
    text
      .trim()
      .split("\n")
      .map((line) => line.split(": "))
      // How it reaches us is its own affair.
      .filter(([name = ""]) => !name.startsWith("cluster.xds."))
      .map(([name = "", count]) => [name, Number(count)]),
  );
}

describe("F9, P4, P5: the controller is away", () => {
  test("traffic goes on, and one that comes back with the same table makes proxies do nothing", async () => {
    const web = await new Backend("web").start();
    cleanups.push(async () => web.stop());
    const first = await EnvoyRig.start();
    cleanups.push(async () => first.close());
    const envoy = await first.startEnvoy();
    const yaml = serviceYaml("web", [web.port]) + Array.from({ length: ROUTES }, (_, i) => route(i)).join("");
    first.apply(yaml);
    const last = `h${ROUTES - 1}`;
    await until("all is served", () => first.programmed(keyOf(last))[0] === "True", HALF_A_MINUTE);
    await first.plane.settled();
    const before = await updates(envoy);
    expect(Object.keys(before).length).toBeGreaterThan(3);

    const load = { isOver: false, sent: 0, failed: 0 };
    const asking = (async () => {
      while (!load.isOver) {
        const asked = send(first.port, "/", { host: `h${load.sent++ % ROUTES}.example.com` });
        const status = await asked.then(
          (reply) => reply.status,
          () => 0,
        );
        if (status !== 200) load.failed++;
      }
    })();
    await first.plane.drain();
    await sleep(AWAY_MS);
    const second = await EnvoyRig.start({}, first);
    cleanups.push(async () => second.close());
    // F10: a proxy that comes before there is a table is told nothing.
    await until("the proxy has come back", () => second.proxies === 1, HALF_A_MINUTE);
    await sleep(300);
    second.load(yaml);
    second.engine.controller.open();
    await until("it is known to serve all", () => second.programmed(keyOf(last))[0] === "True", HALF_A_MINUTE);
    await second.plane.settled();
    expect(await updates(envoy)).toEqual(before);
    second.add(routeYaml("new", "hostnames: [new.example.com]\nrules: [{backendRefs: [{name: web, port: 80}]}]"));
    await until("a new one is served", () => second.programmed(keyOf("new"))[0] === "True");
    expect((await send(first.port, "/", { host: "new.example.com" })).status).toBe(200);
    load.isOver = true;
    await asking;
    console.log(
      `# F9: ${load.sent} requests, ${load.failed} failed; controller away for ${AWAY_MS} ms, ${ROUTES} routes`,
    );
    expect(load.failed).toBe(0);
  }, 300_000);
});
