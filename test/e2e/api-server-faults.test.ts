import type { Server } from "node:http";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { ServiceRouteStatus } from "../../src/api/service-route.ts";
import { ApiProxy } from "../support/api-proxy.ts";
import { ask as askAt, namedBackend, route, service, slice, to } from "../support/cluster-traffic.ts";
import { Cluster } from "../support/cluster.ts";
import { ControllerProcess } from "../support/controller.ts";
import { until } from "../support/data-plane.ts";
import { startLoad } from "../support/load.ts";
import { listening } from "../support/sockets.ts";

const ROOT = join(import.meta.dirname, "../..");
const FULL = process.env["SERVICEROUTE_TEST_SIZE"] === "full";
const GATEWAY = "198.51.100.10";
const PORT = 8080;
const FLAGS = ["--bind-address", GATEWAY, "--leader-elect", "--replica-name", "r1"];

const cluster = new Cluster();
const servers: Server[] = [];
const running: ControllerProcess[] = [];
let proxy: ApiProxy;

const ask = async (host: string): Promise<string> => askAt(GATEWAY, PORT, host);
function start(flags: readonly string[] = FLAGS, kubeconfig = proxy.kubeconfig): ControllerProcess {
  const controller = new ControllerProcess(cluster, flags, kubeconfig);
  running.push(controller);
  return controller;
}
const readyz = async ({ admin }: ControllerProcess): Promise<string> => {
  const reply = await fetch(`${admin}/readyz`).catch(() => undefined);
  return reply === undefined ? "" : `${reply.status} ${await reply.text()}`;
};
async function isProgrammed(name: string): Promise<boolean> {
  const { status } = await cluster.get<{ status?: ServiceRouteStatus }>(["serviceroute", name]);
  return status?.conditions?.some(({ type, status: is }) => type === "Programmed" && is === "True") === true;
}

/** Asks until twenty answers in a row are right: what came before the first of them, and what came between. */
async function untilTwentyInARow(host: string) {
  const [before, between]: [string[], string[]] = [[], []];
  let firstAt = 0;
  for (let good = 0; good < 20;) {
    const outcome = await ask(host);
    if (outcome === "one" && firstAt === 0) firstAt = performance.now();
    if (outcome !== "one") (firstAt === 0 ? before : between).push(outcome);
    good = outcome === "one" ? good + 1 : 0;
  }
  return { before, between, firstAt };
}

beforeAll(async () => {
  await cluster.start();
  await cluster.kubectl(["apply", "--server-side", "-f", join(ROOT, "crds")]);
  await cluster.kubectl(["create", "namespace", "serviceroute-system"]);
  await cluster.kubectl(["wait", "--for=condition=Established", "crd/serviceroutes.serviceroute.dev", "--timeout=30s"]);
  servers.push(await namedBackend("198.51.100.21", "one"), await namedBackend("198.51.100.22", "two"));
  await cluster.apply(service("web") + slice("web", ["198.51.100.21"]));
  proxy = await new ApiProxy(cluster).start();
});

afterEach(async () => {
  proxy.fault = () => "pass";
  proxy.release();
  for (const controller of running.splice(0)) await controller.stop();
});

afterAll(async () => {
  await proxy.stop();
  for (const server of servers) server.close();
  await cluster.stop();
});

describe("the start", () => {
  test("F10: a kind that is never listed keeps it not ready, with its name, and nothing is served", async () => {
    await cluster.apply(route("shop", `{hostnames: [shop.example.com], ${to("web")}}`));
    proxy.fault = (path) => (path.includes("/endpointslices") ? "hold" : "pass");
    const controller = start();
    await until("it says why", async () =>
      (await readyz(controller)).startsWith("503 waiting for the first list of EndpointSlice: listing"),
    );
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(await ask("shop.example.com")).toBe("ECONNREFUSED");
    proxy.fault = () => "pass";
    proxy.release();
    await controller.ready();
    expect(await ask("shop.example.com")).toBe("one");
  });

  test("P5: started again with one list five seconds late, it blanks no route", async () => {
    const count = FULL ? 5000 : 300;
    const many = Array.from({ length: count }, (_, i) =>
      route(`many-${i}`, `{hostnames: [many-${i}.example.com], ${to("web")}}`),
    );
    for (let i = 0; i < count; i += 500) await cluster.apply(many.slice(i, i + 500).join(""));
    const outcomes = new Set<string>();
    let sent = 0;
    for (const late of FULL
      ? ["endpointslices", "services", "serviceroutes", "namespaces"]
      : ["endpointslices", "services"]) {
      const held = Date.now() + 5000;
      proxy.fault = (path) => (path.includes(`/${late}`) && Date.now() < held ? "hold" : "pass");
      const controller = start();
      const load = startLoad({ address: GATEWAY, port: PORT, host: `many-${count - 1}.example.com` }, 4);
      await new Promise((resolve) => setTimeout(resolve, 5000));
      proxy.release();
      await controller.ready();
      for (const i of [0, Math.floor(count / 2), count - 1]) expect(await ask(`many-${i}.example.com`)).toBe("one");
      await controller.stop("SIGKILL");
      const report = await load.stop();
      sent += report.sent;
      for (const outcome of Object.keys(report.outcomes)) outcomes.add(outcome);
    }
    console.log(`# P5: late lists, ${sent} sent: ${[...outcomes].sort().join(", ")}`);
    expect([...outcomes].filter((one) => !["200", "ECONNREFUSED", "ECONNRESET"].includes(one))).toEqual([]);
    await cluster.kubectl(["delete", "--raw", "/apis/serviceroute.dev/v1alpha1/namespaces/default/serviceroutes"]);
  });

  test("S7: it listens where it is documented to, and nowhere else", async () => {
    const controller = await start([...FLAGS, "--metrics-address", "198.51.100.10:9091"]).ready();
    expect(listening(controller.program.child.pid ?? 0)).toEqual(
      [`${GATEWAY}:${PORT}`, `${GATEWAY}:9091`, controller.admin.replace("http://", "")].sort(),
    );
  });
});

describe("while it runs", () => {
  test("P2: a new route is first 404 and then served, and nothing else", async () => {
    await start().ready();
    const first: number[] = [];
    for (let i = 0; i < (FULL ? 200 : 30); i++) {
      const name = `new-${i}`;
      const applied = cluster
        .apply(route(name, `{hostnames: [${name}.example.com], ${to("web")}}`))
        .then(() => performance.now());
      const answers = await untilTwentyInARow(`${name}.example.com`);
      first.push(answers.firstAt - (await applied));
      expect(answers.before.filter((one) => one !== "404")).toEqual([]);
      expect(answers.between).toEqual([]);
    }
    first.sort((a, b) => a - b);
    const at = (share: number): string => (first[Math.floor(first.length * share)] ?? 0).toFixed(0);
    console.log(
      `# P2: ${first.length} routes, first answer ${at(0.5)} ms (p50), ${at(0.99)} ms (p99) after kubectl said so`,
    );
  });

  test("F7: etcd hangs: traffic goes on, and what was applied afterwards arrives", async () => {
    const controller = await start().ready();
    await cluster.apply(route("shop", `{hostnames: [shop.example.com], ${to("web")}}`));
    await until("served", async () => (await ask("shop.example.com")) === "one");
    const load = startLoad({ address: GATEWAY, port: PORT, host: "shop.example.com" }, 4);
    cluster.pauseEtcd(true);
    await new Promise((resolve) => setTimeout(resolve, FULL ? 30_000 : 6000));
    cluster.pauseEtcd(false);
    await until(
      "the API server takes writes again",
      async () =>
        cluster.apply(slice("web", ["198.51.100.22"])).then(
          () => true,
          () => false,
        ),
      60_000,
    );
    await until("it arrives", async () => (await ask("shop.example.com")) === "two", 60_000);
    await until("its status too", async () => isProgrammed("shop"), 60_000);
    const report = await load.stop();
    console.log(`# F7: etcd paused, ${report.failed} failed of ${report.sent}`);
    expect(report.failed).toBe(0);
    expect(await readyz(controller)).toMatch(/^200/);
  });

  test("F7: the API server answers 500 to everything for a while: traffic goes on, in no storm of calls", async () => {
    const controller = await start().ready();
    await cluster.apply(
      slice("web", ["198.51.100.21"]) + route("shop", `{hostnames: [shop.example.com], ${to("web")}}`),
    );
    await until("served", async () => (await ask("shop.example.com")) === "one" && (await isProgrammed("shop")));
    const load = startLoad({ address: GATEWAY, port: PORT, host: "shop.example.com" }, 4);
    let calls = 0;
    proxy.fault = () => (calls++, 500);
    proxy.cut();
    const seconds = FULL ? 30 : 6;
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const during = calls;
    proxy.fault = () => "pass";
    await cluster.apply(slice("web", ["198.51.100.22"]));
    await until("it arrives", async () => (await ask("shop.example.com")) === "two", 60_000);
    const report = await load.stop();
    console.log(`# F7: 500 for ${seconds} s, ${during} calls, ${report.failed} failed of ${report.sent}`);
    expect(report.failed).toBe(0);
    // Renewals of a lease every two seconds, and each of ten watches at most once a second.
    expect(during).toBeLessThan(seconds * 15);
    expect(controller.program.running).toBe(true);
  });

  test("P7: cut off while routes come, change and go, and until etcd has forgotten what happened: afterwards everything is as it should be", async () => {
    await start().ready();
    const names = Array.from({ length: 30 }, (_, i) => `cut-${i}`);
    const spec = (name: string): string => `{hostnames: [${name}.example.com], ${to("web")}}`;
    await cluster.apply(
      slice("web", ["198.51.100.21"]) +
        names
          .slice(0, 20)
          .map((name) => route(name, spec(name)))
          .join(""),
    );
    await until("served", async () => (await ask("cut-19.example.com")) === "one");
    const load = startLoad({ address: GATEWAY, port: PORT, host: "cut-0.example.com" }, 4);
    proxy.fault = () => "hold";
    proxy.cut();
    await cluster.kubectl(["delete", "serviceroute", ...names.slice(10, 20)]);
    await cluster.apply(
      names
        .slice(20)
        .map((name) => route(name, spec(name)))
        .join("") + route("cut-1", `{hostnames: [moved.example.com], ${to("web")}}`),
    );
    await new Promise((resolve) => setTimeout(resolve, FULL ? 30_000 : 3000));
    await cluster.compactEtcd();
    expect(await ask("cut-19.example.com")).toBe("one");
    proxy.fault = () => "pass";
    proxy.release();
    const started = Date.now();
    await until("the last that came is served", async () => (await ask("cut-29.example.com")) === "one", 60_000);
    await until("the last that went is not", async () => (await ask("cut-19.example.com")) === "404", 60_000);
    const seconds = (Date.now() - started) / 1000;
    const found = await Promise.all([...names, "moved"].map(async (name) => ask(`${name}.example.com`)));
    const gone = ["cut-1", ...names.slice(10, 20)];
    expect(found).toEqual([...names, "moved"].map((name) => (gone.includes(name) ? "404" : "one")));
    const report = await load.stop();
    console.log(
      `# P7: converged ${seconds} s after the cut, 0 of 22 changes missed, ${report.failed} failed of ${report.sent}`,
    );
    expect(report.failed).toBe(0);
    await cluster.kubectl(["delete", "--raw", "/apis/serviceroute.dev/v1alpha1/namespaces/default/serviceroutes"]);
  });
});

describe("one namespace (--namespace)", () => {
  test("with rights in that namespace alone it serves its routes, writes their status, and knows no others", async () => {
    await cluster.kubectl(["create", "namespace", "team"]);
    const rights = await cluster.kubectl(["apply", "-n", "team", "-f", join(ROOT, "manifests/namespaced/rbac.yaml")]);
    expect(rights.code, rights.stderr).toBe(0);
    await cluster.apply(
      service("web", "team") +
        slice("web", ["198.51.100.21"], "team") +
        route("mine", `{hostnames: [mine.example.com], ${to("web")}}`, "team") +
        route("other", `{hostnames: [other.example.com], ${to("web")}}`),
    );
    const kubeconfig = await cluster.tokenKubeconfig("team", "serviceroute");
    const controller = start([...FLAGS, "--namespace", "team", "--system-namespace", "team"], kubeconfig);
    await controller.ready();
    expect(await ask("mine.example.com")).toBe("one");
    expect(await ask("other.example.com")).toBe("404");
    await until("its status", async () => {
      const { status } = await cluster.get<{ status?: ServiceRouteStatus }>(["-n", "team", "serviceroute", "mine"]);
      return status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") === true;
    });
    expect((await cluster.get<{ status?: ServiceRouteStatus }>(["serviceroute", "other"])).status).toBeUndefined();
  });
});
