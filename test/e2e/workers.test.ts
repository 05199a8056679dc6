import { readFileSync } from "node:fs";
import type { Server } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Cluster } from "../support/cluster.ts";
import { ask, namedBackend, route, service, slice, to } from "../support/cluster-traffic.ts";
import { ControllerProcess } from "../support/controller.ts";
import { until } from "../support/data-plane.ts";
import { childrenOf } from "../support/descendants.ts";
import { startLoad } from "../support/load.ts";

const ROOT = join(import.meta.dirname, "../..");
const GATEWAY = "198.51.100.40";
const PORT = 8080;
/** In one `kubectl apply`. */
const BURST = process.env["SERVICEROUTE_TEST_SIZE"] === "full" ? 5000 : 500;

const cluster = new Cluster();
let server: Server;
let controller: ControllerProcess;

beforeAll(async () => {
  await cluster.start();
  await cluster.kubectl(["apply", "--server-side", "-f", join(ROOT, "crds")]);
  await cluster.kubectl(["create", "namespace", "serviceroute-system"]);
  await cluster.kubectl(["wait", "--for=condition=Established", "crd/serviceroutes.serviceroute.dev", "--timeout=30s"]);
  server = await namedBackend("198.51.100.41", "one");
  const flags = ["--bind-address", GATEWAY, "--leader-elect", "--replica-name", "w1", "--gateway-workers", "2"];
  controller = await new ControllerProcess(cluster, flags).ready();
});

afterAll(async () => {
  await controller.stop();
  server.close();
  await cluster.stop();
});

const workers = (): number[] => childrenOf(controller.program.child.pid ?? 0);
const asked = async (host: string): Promise<string> => ask(GATEWAY, PORT, host);

describe("a controller whose gateway runs in worker processes", () => {
  test("S33: there is nothing here but the cluster and its backends, and everything else in these tests works without", () => {
    const interfaces = readFileSync("/proc/net/dev", "utf8").matchAll(/^ *([^ :]+):/gm);
    expect([...interfaces].map(([, name]) => name)).toEqual(["lo"]);
  });

  test("serves, and says so when all workers do", async () => {
    await cluster.apply(
      service("web") + slice("web", ["198.51.100.41"]) + route("shop", `{hostnames: [shop.example.com], ${to("web")}}`),
    );
    const { code, stderr } = await cluster.kubectl([
      "wait",
      "--for=condition=Programmed",
      "serviceroute/shop",
      "--timeout=30s",
    ]);
    expect(code, stderr).toBe(0);
    const answers = await Promise.all(Array.from({ length: 40 }, async () => asked("shop.example.com")));
    expect(new Set(answers)).toEqual(new Set(["one"]));
  });

  test("F40: many routes that come at once fail no request of another", async () => {
    const load = startLoad({ address: GATEWAY, port: PORT, host: "shop.example.com" }, 4);
    const many = Array.from({ length: BURST }, (_, i) =>
      route(`many-${i}`, `{hostnames: [many-${i}.example.com], ${to("web")}}`),
    );
    await cluster.apply(many.join(""));
    await until("the last one is served", async () => (await asked(`many-${BURST - 1}.example.com`)) === "one", 60_000);
    const report = await load.stop();
    expect(Object.keys(report.outcomes)).toEqual(["200"]);
    expect(report.sent).toBeGreaterThan(100);
  });

  test("F55: with the API server away a worker that dies comes back with its table", async () => {
    await cluster.killApiServer();
    const [first = 0, second = 0] = workers();
    process.kill(first, "SIGKILL");
    await until("it is back", () => controller.program.output.includes("is back with its table"));
    // Whatever the other one has, this one has to have now.
    process.kill(second, "SIGKILL");
    await until("it is back", () => controller.program.output.split("is back with its table").length === 3);
    expect(await asked("shop.example.com")).toBe("one");
    expect(await asked(`many-${BURST - 1}.example.com`)).toBe("one");
    await cluster.startApiServer();
    await cluster.apply(route("after", `{hostnames: [after.example.com], ${to("web")}}`));
    await until("what comes after is served", async () => (await asked("after.example.com")) === "one", 60_000);
  });

  test("F40: many routes that go at once fail no request of another", async () => {
    const load = startLoad({ address: GATEWAY, port: PORT, host: "shop.example.com" }, 4);
    // By one list: kubectl asks for each name by itself, and holds itself back to 50 requests a second.
    const { code, stderr } = await cluster.kubectl([
      "delete",
      "serviceroutes",
      "--wait=false",
      "--field-selector=metadata.name!=shop",
    ]);
    expect(code, stderr).toBe(0);
    await until("the last one is gone", async () => (await asked(`many-${BURST - 1}.example.com`)) !== "one", 60_000);
    const report = await load.stop();
    expect(Object.keys(report.outcomes)).toEqual(["200"]);
  });
});
