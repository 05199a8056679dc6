import type { Server } from "node:http";
import { join } from "node:path";
import { parse } from "yaml";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Cluster } from "../support/cluster.ts";
import { ask, namedBackend, route, service, slice, to } from "../support/cluster-traffic.ts";
import { ControllerProcess, serviceroute } from "../support/controller.ts";
import { until } from "../support/data-plane.ts";
import { Envoy } from "../support/envoy.ts";
import { startLoad } from "../support/load.ts";

const ROOT = join(import.meta.dirname, "../..");
const GATEWAY = "198.51.100.50";
const PORT = 8080;
const ADMIN = 19_901;
/** Two, so that endpoints can move. */
const BACKENDS = ["198.51.100.51", "198.51.100.52"] as const;

const cluster = new Cluster();
const servers: Server[] = [];
let controller: ControllerProcess;
let envoy: Envoy | undefined;

const start = async (): Promise<ControllerProcess> =>
  new ControllerProcess(cluster, ["--bind-address", GATEWAY, "--data-plane", "envoy", "--builtin-gateway"]).ready();

/** Reason and message of Programmed, as kubectl shows them. */
async function programmed(name: string): Promise<string> {
  const path = '{.status.conditions[?(@.type=="Programmed")]';
  const { stdout } = await cluster.kubectl([
    ...["get", "serviceroute", name, "-o"],
    `jsonpath=${path}.reason}: ${path}.message}`,
  ]);
  return stdout;
}

beforeAll(async () => {
  await cluster.start();
  await cluster.kubectl(["apply", "--server-side", "-f", join(ROOT, "crds")]);
  await cluster.kubectl(["create", "namespace", "serviceroute-system"]);
  await cluster.kubectl(["wait", "--for=condition=Established", "crd/serviceroutes.serviceroute.dev", "--timeout=30s"]);
  for (const [i, address] of BACKENDS.entries()) servers.push(await namedBackend(address, ["one", "two"][i] ?? ""));
  controller = await start();
});

afterAll(async () => {
  await controller.stop();
  await envoy?.stop();
  for (const server of servers) server.close();
  await cluster.stop();
});

describe("a controller that programs a real Envoy from a real API server", () => {
  test("says NoProxies while there is none, and then how many serve a route", async () => {
    await cluster.apply(
      service("web") + slice("web", [BACKENDS[0]]) + route("shop", `{hostnames: [shop.example.com], ${to("web")}}`),
    );
    await until("nobody serves it", async () => (await programmed("shop")).startsWith("NoProxies: "), 20_000);
    const { stdout, code } = await serviceroute([
      ...["envoy", "bootstrap", "--gateway", "builtin", "--proxy-name", "one"],
      ...["--admin-address", `127.0.0.1:${ADMIN}`],
    ]);
    expect(code).toBe(0);
    envoy = new Envoy(parse(stdout) as object, ADMIN);
    await until("one serves it", async () => (await programmed("shop")) === "Programmed: live on 1 of 1", 20_000);
    expect(await ask(GATEWAY, PORT, "shop.example.com")).toBe("one");
  });

  test("moves requests with the endpoints, and fails none", async () => {
    const load = startLoad({ address: GATEWAY, port: PORT, host: "shop.example.com" }, 4);
    await cluster.apply(slice("web", [BACKENDS[1]]));
    await until("all go to the other", async () => (await ask(GATEWAY, PORT, "shop.example.com")) === "two", 20_000);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const { sent, outcomes } = await load.stop();
    console.log(`# endpoints moved: 0 of ${sent} failed`);
    expect(outcomes).toEqual({ "200": sent });
  });

  test("P4: is killed and comes back under load, and no request fails", async () => {
    const load = startLoad({ address: GATEWAY, port: PORT, host: "shop.example.com" }, 4);
    await controller.stop("SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 3000));
    controller = await start();
    await cluster.apply(route("after", `{hostnames: [after.example.com], ${to("web")}}`));
    await until("served", async () => (await programmed("after")) === "Programmed: live on 1 of 1", 20_000);
    const { sent, outcomes } = await load.stop();
    console.log(`# P4: controller killed, 0 of ${sent} failed`);
    expect(outcomes).toEqual({ "200": sent });
    expect(await ask(GATEWAY, PORT, "after.example.com")).toBe("two");
  });
});
