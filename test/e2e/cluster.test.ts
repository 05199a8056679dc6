import { existsSync, readFileSync } from "node:fs";
import type { Server } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import type { ServiceRouteStatus } from "../../src/api/service-route.ts";
import { Cluster } from "../support/cluster.ts";
import { ask as askAt, namedBackend, route, service, slice, to } from "../support/cluster-traffic.ts";
import { ControllerProcess, serviceroute } from "../support/controller.ts";
import { until } from "../support/data-plane.ts";
import { kstatusOf } from "../support/kstatus.ts";
import { startLoad } from "../support/load.ts";

const ROOT = join(import.meta.dirname, "../..");
const FULL = process.env["SERVICEROUTE_TEST_SIZE"] === "full";
const GATEWAY = "198.51.100.10";
const PORT = 8080;
/** Requests that have to be sent while routes are edited, and while endpoints are rolled. */
const WANTED = FULL ? 100_000 : 20_000;

interface Route {
  readonly metadata: { readonly generation: number; readonly resourceVersion: string };
  readonly status?: ServiceRouteStatus;
}

const cluster = new Cluster();
const servers: Server[] = [];
let controller: ControllerProcess;

const ask = async (host: string, path = "/"): Promise<string> => askAt(GATEWAY, PORT, host, path);
const backend = async (address: string, name: string): Promise<number> =>
  servers.push(await namedBackend(address, name));

const getRoute = async (name: string): Promise<Route> => cluster.get<Route>(["serviceroute", name]);
async function condition(name: string, type: string): Promise<string> {
  const found = (await getRoute(name)).status?.conditions?.find((c) => c.type === type);
  return found === undefined ? "" : `${found.status}/${found.reason}`;
}
const FLAGS = ["--bind-address", GATEWAY, "--leader-elect"];

beforeAll(async () => {
  await cluster.start();
  for (const args of [
    ["apply", "--server-side", "-f", join(ROOT, "crds")],
    ["create", "namespace", "serviceroute-system"],
    ["wait", "--for=condition=Established", "crd/serviceroutes.serviceroute.dev", "--timeout=30s"],
  ]) {
    const { code, stderr } = await cluster.kubectl(args);
    expect(stderr.includes("AlreadyExists") || code === 0, stderr).toBe(true);
  }
  await Promise.all([
    backend("198.51.100.21", "one"),
    backend("198.51.100.22", "two"),
    backend("198.51.100.23", "three"),
  ]);
  controller = await new ControllerProcess(cluster, [...FLAGS, "--replica-name", "r1"]).ready();
});

afterAll(async () => {
  await controller.stop();
  for (const server of servers) server.close();
  await cluster.stop();
});

describe("kubectl apply", () => {
  test("serves traffic and tells the truth", async () => {
    await cluster.apply(
      service("web") + slice("web", ["198.51.100.21"]) + route("shop", `{hostnames: [shop.example.com], ${to("web")}}`),
    );
    const waited = await cluster.kubectl(["wait", "--for=condition=Programmed", "sr/shop", "--timeout=10s"]);
    expect(waited.stdout).toContain("condition met");
    expect(await ask("shop.example.com")).toBe("one");
    const { stdout } = await cluster.kubectl(["get", "sr"]);
    expect(stdout.split("\n")[0]?.split(/ {2,}/)).toEqual([
      "NAME",
      "HOSTNAMES",
      "ACCEPTED",
      "PROGRAMMED",
      "ENDPOINTS",
      "AGE",
    ]);
    expect(stdout).toMatch(/shop +shop\.example\.com +True +True +1\/1/);
  });

  test("events tell of transitions", async () => {
    await until("an event", async () =>
      (await cluster.kubectl(["events", "--for", "serviceroute/shop"])).stdout.includes("Programmed"),
    );
  });

  test("explain is worth reading", async () => {
    const explain = async (): Promise<string> =>
      (await cluster.kubectl(["explain", "serviceroute.spec.rules.retry"])).stdout;
    // The API server publishes what it knows of a kind a moment after the kind itself.
    await until("it is published", async () => (await explain()).includes("budget"));
    expect(await explain()).toMatch(/Default: 1\./);
  });

  test("a backend that is not there is said so, and recovers by itself", async () => {
    await cluster.apply(route("late", `{hostnames: [late.example.com], ${to("late")}}`));
    await until("BackendNotFound", async () => (await condition("late", "ResolvedRefs")) === "False/BackendNotFound");
    expect(await ask("late.example.com")).toBe("500");
    await cluster.apply(service("late") + slice("late", ["198.51.100.22"]));
    await until("it is served", async () => (await ask("late.example.com")) === "two");
    await until("ResolvedRefs", async () => (await condition("late", "ResolvedRefs")) === "True/ResolvedRefs");
  });

  test("instances come and go and nobody is told", async () => {
    await cluster.apply(slice("web", ["198.51.100.22"]));
    await until("the new one", async () => (await ask("shop.example.com")) === "two");
    await cluster.apply(slice("web", []));
    await until("nobody", async () => (await ask("shop.example.com")) === "503");
    await until("status", async () => (await getRoute("shop")).status?.summary?.endpoints === "0/0");
    await cluster.apply(slice("web", ["198.51.100.21"]));
    await until("back", async () => (await ask("shop.example.com")) === "one");
  });

  test("Endpoints without a selector come through the mirroring controller", async () => {
    const endpoints = (ip: string): string =>
      `---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: mirrored, namespace: default}\nsubsets: [{addresses: [{ip: ${ip}}], ports: [{name: http, port: 8000}]}]\n`;
    await cluster.apply(
      service("mirrored") +
        endpoints("198.51.100.21") +
        route("mirrored", `{hostnames: [mirrored.example.com], ${to("mirrored")}}`),
    );
    await until("mirrored", async () => (await ask("mirrored.example.com")) === "one", 30_000);
    await cluster.apply(endpoints("198.51.100.22"));
    await until("edited", async () => (await ask("mirrored.example.com")) === "two", 30_000);
  });

  test("S31: a quota of the namespace bounds how many routes a tenant has", async () => {
    const quota = parse(
      /```yaml\n(apiVersion: v1\nkind: ResourceQuota[^`]*)```/.exec(
        readFileSync(join(ROOT, "docs/operating.md"), "utf8"),
      )?.[1] ?? "",
    ) as { spec: { hard: object } };
    const hard = Object.fromEntries(Object.keys(quota.spec.hard).map((name) => [name, "1"]));
    await cluster.kubectl(["create", "namespace", "team-a"]);
    const metadata = { name: "routes", namespace: "team-a" };
    await cluster.apply(JSON.stringify({ apiVersion: "v1", kind: "ResourceQuota", metadata, spec: { hard } }));
    const used = async (): Promise<object | undefined> =>
      (await cluster.get<{ status?: { used?: object } }>(["-n", "team-a", "resourcequota", "routes"])).status?.used;
    // The quota controller learns of new kinds every half a minute.
    await until("the quota counts", async () => Object.keys((await used()) ?? {}).length === 1, 60_000);
    const one = (name: string): string =>
      route(name, `{${to("web")}}`).replace("namespace: default", "namespace: team-a");
    await cluster.apply(one("first"));
    const second = await cluster.kubectl(["apply", "-f", "-"], one("second"));
    expect([second.code, second.stderr]).toEqual([1, expect.stringContaining("exceeded quota: routes")]);
    await cluster.kubectl(["delete", "namespace", "team-a"]);
  });

  test("F36, F38, P11: a namespace that is deleted goes with its routes; applied again they are served again", async () => {
    await cluster.kubectl(["create", "namespace", "gone"]);
    const manifest = route(
      "r",
      "{hostnames: [gone.example.com], rules: [{filters: [{type: DirectResponse, directResponse: {statusCode: 200, body: here}}]}]}",
    ).replace("namespace: default", "namespace: gone");
    await cluster.apply(manifest);
    await until("served", async () => (await ask("gone.example.com")) === "here");
    await cluster.kubectl(["delete", "namespace", "gone", "--wait=true", "--timeout=60s"]);
    expect(await ask("gone.example.com")).toBe("404");
    expect((await cluster.kubectl(["get", "namespace", "gone"])).code).not.toBe(0);
    expect(
      (await cluster.get<{ items: { metadata: { finalizers?: string[] } }[] }>(["serviceroutes", "-A"])).items.flatMap(
        ({ metadata }) => metadata.finalizers ?? [],
      ),
    ).toEqual([]);
    await cluster.kubectl(["create", "namespace", "gone"]);
    await cluster.apply(manifest);
    await until("served again", async () => (await ask("gone.example.com")) === "here");
  });
});

describe("status", () => {
  const settled = async (): Promise<string> => {
    await new Promise((resolve) => setTimeout(resolve, 3000));
    return (await getRoute("shop")).metadata.resourceVersion;
  };

  test("P14: nothing is written when nothing changes", async () => {
    const before = await settled();
    expect(await settled()).toBe(before);
  });

  test("F23: entries of another controller stay as they are", async () => {
    const foreign = {
      parentRef: { name: "theirs", group: "gateway.networking.k8s.io", kind: "Gateway" },
      controllerName: "other.example/controller",
      conditions: [
        {
          type: "Accepted",
          status: "True",
          reason: "Mine",
          message: "",
          lastTransitionTime: "2026-01-01T00:00:00Z",
          observedGeneration: 3,
        },
      ],
    };
    const own = (await getRoute("shop")).status?.parents ?? [];
    await cluster.kubectl([
      "patch",
      "sr",
      "shop",
      "--subresource=status",
      "--type=merge",
      "-p",
      JSON.stringify({ status: { parents: [foreign, ...own] } }),
    ]);
    await cluster.apply(route("shop", `{hostnames: [shop.example.com, www.example.com], ${to("web")}}`));
    await until(
      "the new generation",
      async () => (await getRoute("shop")).status?.observedGeneration === (await getRoute("shop")).metadata.generation,
    );
    const parents = (await getRoute("shop")).status?.parents ?? [];
    expect(parents).toHaveLength(2);
    expect(parents.find((p) => p.controllerName === "other.example/controller")).toEqual(foreign);
  });

  test("an entry of ours that somebody spoils is put right", async () => {
    await cluster.kubectl([
      "patch",
      "sr",
      "shop",
      "--subresource=status",
      "--type=merge",
      "-p",
      JSON.stringify({ status: { conditions: [] } }),
    ]);
    await until("repaired", async () => (await condition("shop", "Programmed")) === "True/Programmed");
  });

  test("a conflict is told to the loser", async () => {
    await cluster.apply(route("late-twin", `{hostnames: [shop.example.com], ${to("late")}}`));
    await until("Shadowed", async () => (await condition("late-twin", "Shadowed")) === "True/Shadowed");
    expect(await ask("shop.example.com")).toBe("one");
    await cluster.kubectl(["delete", "sr", "late-twin"]);
  });

  test("a field that is not served yet is refused by name", async () => {
    await cluster.apply(
      route(
        "limited",
        `{rules: [{rateLimits: [{name: a, count: 1, interval: 1s}], backendRefs: [{name: web, port: 80}]}]}`,
      ),
    );
    await until("refused", async () => (await condition("limited", "Accepted")) === "False/UnsupportedValue");
    const message = (await getRoute("limited")).status?.conditions?.find((c) => c.type === "Accepted")?.message ?? "";
    expect(message).toContain("rules[0].rateLimits: rateLimits is not served yet");
    await cluster.kubectl(["delete", "sr", "limited"]);
  });
});

describe("the commands see a running controller", () => {
  test("get and explain", async () => {
    const routes = await serviceroute(["get", "routes", "--admin", controller.admin]);
    expect(routes.stdout).toMatch(/shop +shop\.example\.com \+1 +True +True +1\/1/);
    const yaml = await serviceroute(["get", "routes", "shop", "-o", "yaml", "--admin", controller.admin]);
    expect((parse(yaml.stdout) as Route).status?.observedGeneration).toBe((await getRoute("shop")).metadata.generation);
    const explained = await serviceroute(["explain", "GET", "http://shop.example.com/", "--admin", controller.admin]);
    expect(explained.stdout).toContain("default/shop rules[0]");
  });
});

describe("faults", () => {
  test("P1: routes edited under load lose no request", async () => {
    const edits = FULL ? 200 : 60;
    await cluster.apply(slice("web", ["198.51.100.21", "198.51.100.23"]));
    const load = startLoad({ address: GATEWAY, port: PORT, host: "shop.example.com" });
    for (let i = 0; i < edits || load.sent() < WANTED; i++) {
      const variants = [
        to("web"),
        `rules: [{backendRefs: [{name: web, port: 80, weight: ${(i % 9) + 1}}, {name: late, port: 80, weight: 1}]}]`,
        `rules: [{matches: [{path: {value: /x}}], backendRefs: [{name: late, port: 80}]}, {backendRefs: [{name: web, port: 80}]}]`,
        `rules: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-i, value: "${i}"}]}}], backendRefs: [{name: late, port: 80}]}]`,
      ];
      await cluster.apply(
        route("shop", `{hostnames: [shop.example.com, www.example.com], ${variants[i % variants.length] ?? ""}}`),
      );
    }
    const report = await load.stop();
    console.log(
      `# P1: ${report.failed} failed of ${report.sent} (12 kept connections, 4 new one each)`,
      report.outcomes,
    );
    expect(report.failed).toBe(0);
    expect(report.sent).toBeGreaterThanOrEqual(WANTED);
  });

  test("P3: endpoints rolled under load lose no request", async () => {
    const addresses = ["198.51.100.21", "198.51.100.22", "198.51.100.23"];
    await cluster.apply(route("shop", `{hostnames: [shop.example.com], ${to("web")}}`) + slice("web", addresses));
    const load = startLoad({ address: GATEWAY, port: PORT, host: "shop.example.com" });
    for (let i = 0; i < (FULL ? 60 : 15) || load.sent() < WANTED; i++) {
      await cluster.apply(
        slice(
          "web",
          addresses.filter((_, at) => at !== i % 3),
        ),
      );
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const report = await load.stop();
    console.log(`# P3: ${report.failed} failed of ${report.sent}`, report.outcomes);
    expect(report.failed).toBe(0);
    expect(report.sent).toBeGreaterThanOrEqual(WANTED);
  });

  test("F1, P7: the API server is killed and comes back", async () => {
    await cluster.apply(slice("web", ["198.51.100.21"]));
    await until("one", async () => (await ask("shop.example.com")) === "one");
    const load = startLoad({ address: GATEWAY, port: PORT, host: "shop.example.com" }, 4);
    await cluster.killApiServer();
    await new Promise((resolve) => setTimeout(resolve, FULL ? 30_000 : 4000));
    await cluster.startApiServer();
    await cluster.apply(
      slice("web", ["198.51.100.22"]) + route("after", `{hostnames: [after.example.com], ${to("web")}}`),
    );
    await until("changes of the time after arrive", async () => (await ask("after.example.com")) === "two", 60_000);
    await until(
      "statuses are written again",
      async () => (await condition("after", "Programmed")) === "True/Programmed",
      60_000,
    );
    const report = await load.stop();
    console.log(`# F1: ${report.failed} failed of ${report.sent}`);
    expect(report.failed).toBe(0);
  });

  test("P6, F11: two replicas; Programmed needs both; the follower takes over from a leader that stops", async () => {
    const second = await new ControllerProcess(cluster, [
      "--bind-address",
      "198.51.100.11",
      "--leader-elect",
      "--replica-name",
      "r2",
    ]).ready();
    try {
      await until(
        "r2 is known",
        async () =>
          (await cluster.kubectl(["-n", "serviceroute-system", "get", "lease", "serviceroute-replica-r2"])).code === 0,
      );
      await new Promise((resolve) => setTimeout(resolve, 500));
      await cluster.apply(route("both", `{hostnames: [both.example.com], ${to("web")}}`));
      await until(
        "live on 2 of 2",
        async () =>
          (await getRoute("both")).status?.conditions?.find((c) => c.type === "Programmed")?.message ===
          "live on 2 of 2",
      );
      second.program.child.kill("SIGSTOP");
      await cluster.apply(route("held", `{hostnames: [held.example.com], ${to("web")}}`));
      await new Promise((resolve) => setTimeout(resolve, 5000));
      expect(await condition("held", "Programmed")).toBe("Unknown/Pending");
      expect(await kstatusOf(cluster, "held")).toBe("InProgress");
      second.program.child.kill("SIGCONT");
      await until("it has caught up", async () => (await condition("held", "Programmed")) === "True/Programmed");

      await controller.stop();
      await cluster.apply(route("takeover", `{hostnames: [takeover.example.com], ${to("web")}}`));
      await until(
        "the follower writes",
        async () => (await condition("takeover", "Programmed")) === "True/Programmed",
        5000,
      );
    } finally {
      second.program.child.kill("SIGCONT");
      await Promise.all([controller.stop(), second.stop()]);
      controller = await new ControllerProcess(cluster, [...FLAGS, "--replica-name", "r1"]).ready();
    }
  });

  test("P6: a leader killed with -9: the follower serves what comes meanwhile, and writes statuses within a lease and two seconds", async () => {
    await cluster.apply(slice("web", ["198.51.100.21"]));
    const follower = await new ControllerProcess(cluster, [
      "--bind-address",
      "198.51.100.11",
      "--leader-elect",
      "--replica-name",
      "r3",
    ]).ready();
    try {
      await controller.stop("SIGKILL");
      const started = Date.now();
      await cluster.apply(route("orphan", `{hostnames: [orphan.example.com], ${to("web")}}`));
      await until("served", async () => (await askAt("198.51.100.11", PORT, "orphan.example.com")) === "one", 2000);
      const servedMs = Date.now() - started;
      expect(await condition("orphan", "Programmed")).toBe("");
      await until("written", async () => (await condition("orphan", "Programmed")) === "True/Programmed", 30_000);
      const gapSeconds = (Date.now() - started) / 1000;
      console.log(`# P6: leader killed, new route served after ${servedMs} ms, statuses again after ${gapSeconds} s`);
      // A lease of 15 s, of which the follower knows within 1.2 s of its last renewal, and the write.
      expect(gapSeconds).toBeLessThan(15 + 2);
    } finally {
      await Promise.all([controller.stop(), follower.stop()]);
      controller = await new ControllerProcess(cluster, [...FLAGS, "--replica-name", "r1"]).ready();
    }
  });

  test("P5: a single controller killed with -9 under load: refused while it is away, and never a wrong answer after", async () => {
    await cluster.apply(
      slice("web", ["198.51.100.21"]) + route("shop", `{hostnames: [shop.example.com], ${to("web")}}`),
    );
    const many = Array.from({ length: 1000 }, (_, i) =>
      route(`many-${i}`, `{hostnames: [many-${i}.example.com], ${to("web")}}`),
    );
    await cluster.apply(many.join(""));
    await until("the last one is served", async () => (await ask("many-999.example.com")) === "one", 60_000);
    const load = startLoad({ address: GATEWAY, port: PORT, host: "many-500.example.com" }, 8);
    await until("it runs", () => load.sent() > 200);
    await controller.stop("SIGKILL");
    const started = Date.now();
    controller = await new ControllerProcess(cluster, [...FLAGS, "--replica-name", "r1"]).ready();
    const readyMs = Date.now() - started;
    const sentBefore = load.sent();
    await new Promise((resolve) => setTimeout(resolve, 500));
    const report = await load.stop();
    expect(await ask("many-500.example.com")).toBe("one");
    expect(report.sent).toBeGreaterThan(sentBefore + 20);
    if (FULL) expect(readyMs).toBeLessThan(3000);
    console.log(`# kill -9 at 1,000 routes: ready after ${readyMs} ms, ${report.sent} sent`, report.outcomes);
    expect(
      Object.keys(report.outcomes).filter((outcome) => !["200", "ECONNREFUSED", "ECONNRESET"].includes(outcome)),
    ).toEqual([]);
    await cluster.kubectl(["delete", "serviceroutes", "--all", "--wait=false"]);
  });

  test("F9: killed while the API server is away, it serves its last good table, and the new one when the API server is back", async () => {
    const file = join(cluster.folder, "last-good");
    const flags = ["--bind-address", GATEWAY, "--leader-elect", "--replica-name", "r1", "--last-good-file", file];
    await controller.stop();
    controller = await new ControllerProcess(cluster, flags).ready();
    await cluster.apply(
      slice("web", ["198.51.100.21"]) + route("shop", `{hostnames: [shop.example.com], ${to("web")}}`),
    );
    await until("saved", () => existsSync(file) && readFileSync(file, "utf8").includes("198.51.100.21"));
    await controller.stop("SIGKILL");
    await cluster.killApiServer();
    controller = await new ControllerProcess(cluster, flags).ready();
    expect(await ask("shop.example.com")).toBe("one");
    expect(await (await fetch(`${controller.admin}/metrics`)).text()).toMatch(/^serviceroute_table_stale 1$/m);
    expect(readFileSync(file, "utf8")).not.toMatch(/"kind":"Secret"/);
    await cluster.startApiServer();
    await cluster.apply(slice("web", ["198.51.100.22"]));
    await until("the new one", async () => (await ask("shop.example.com")) === "two", 60_000);
    await until(
      "no longer stale",
      async () => /^serviceroute_table_stale 0$/m.test(await (await fetch(`${controller.admin}/metrics`)).text()),
      60_000,
    );
  });

  test("F53: SIGTERM during the first list ends at once, and the lease is released", async () => {
    const early = new ControllerProcess(cluster, [
      "--bind-address",
      "198.51.100.12",
      "--leader-elect",
      "--replica-name",
      "early",
    ]);
    await until("it runs", () => early.program.output.includes("starting"));
    const asked = Date.now();
    expect(await early.stop()).toBe(0);
    expect(Date.now() - asked).toBeLessThan(5000);
    const { spec } = await cluster.get<{ spec: { holderIdentity?: string } }>([
      "-n",
      "serviceroute-system",
      "lease",
      "serviceroute-leader",
    ]);
    expect(spec.holderIdentity).not.toBe("early");
    expect(
      (await cluster.kubectl(["-n", "serviceroute-system", "get", "lease", "serviceroute-replica-early"])).code,
    ).toBe(1);
  });
});
