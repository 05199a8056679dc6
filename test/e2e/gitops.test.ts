import type { Server } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ServiceRouteStatus } from "../../src/api/service-route.ts";
import { ask as askAt, namedBackend, route, service, slice, to } from "../support/cluster-traffic.ts";
import { Cluster } from "../support/cluster.ts";
import { ControllerProcess } from "../support/controller.ts";
import { until } from "../support/data-plane.ts";
import { kstatusOf } from "../support/kstatus.ts";

const ROOT = join(import.meta.dirname, "../..");
const FULL = process.env["SERVICEROUTE_TEST_SIZE"] === "full";
const GATEWAY = "198.51.100.10";

interface Route {
  readonly status?: ServiceRouteStatus;
}

const cluster = new Cluster();
let backend: Server;
let controller: ControllerProcess;
const ask = async (host: string): Promise<string> => askAt(GATEWAY, 8080, host);

beforeAll(async () => {
  await cluster.start();
  await cluster.kubectl(["apply", "--server-side", "-f", join(ROOT, "crds")]);
  await cluster.kubectl(["wait", "--for=condition=Established", "crd/serviceroutes.serviceroute.dev", "--timeout=30s"]);
  backend = await namedBackend("198.51.100.21", "one");
  controller = await new ControllerProcess(cluster, ["--bind-address", GATEWAY]).ready();
});

afterAll(async () => {
  await controller.stop();
  backend.close();
  await cluster.stop();
});

describe("GitOps", () => {
  test("the samples applied twice differ in nothing, and what another manager set stays", async () => {
    const gitops = async (...args: string[]) => cluster.kubectl(["-n", "gitops", ...args]);
    const samples = ["microservices-demo", "features"].flatMap((folder) => [
      "-f",
      join(ROOT, "manifests/samples", folder),
    ]);
    await cluster.kubectl(["create", "namespace", "gitops"]);
    for (let i = 0; i < 2; i++) {
      const { code, stderr } = await gitops("apply", "--server-side", "--field-manager=gitops", ...samples);
      expect(code, stderr).toBe(0);
    }
    await gitops("label", "serviceroute", "canary", "team=other");
    const routes = async (): Promise<readonly Route[]> =>
      (await cluster.get<{ items: Route[] }>(["-n", "gitops", "serviceroutes"])).items;
    await until("all have a status", async () =>
      (await routes()).every(({ status }) => status?.observedGeneration !== undefined),
    );
    await new Promise((resolve) => setTimeout(resolve, FULL ? 60_000 : 3000));
    const diff = await gitops("diff", "--server-side", "--field-manager=gitops", ...samples);
    expect([diff.code, diff.stdout]).toEqual([0, ""]);
    const { metadata } = await cluster.get<{ metadata: { labels: Record<string, string> } }>([
      "-n",
      "gitops",
      "serviceroute",
      "canary",
    ]);
    expect(metadata.labels["team"]).toBe("other");
    await gitops("delete", ...samples);
    expect(await routes()).toEqual([]);
    await cluster.kubectl(["delete", "namespace", "gitops", "--wait=false"]);
  });

  test("what is pruned is no longer served, and leaves nothing behind", async () => {
    const labelled = (name: string): string =>
      route(name, `{hostnames: [${name}.example.com], ${to("web")}}`).replace(
        "metadata: {",
        "metadata: {labels: {app: pruned}, ",
      );
    const prune = ["--prune", "-l", "app=pruned", "--prune-allowlist=serviceroute.dev/v1alpha1/ServiceRoute"];
    const applied = async (yaml: string) => cluster.kubectl(["apply", ...prune, "-f", "-"], yaml);
    await cluster.apply(service("web") + slice("web", ["198.51.100.21"]));
    await applied(labelled("kept") + labelled("pruned"));
    await until(
      "both served",
      async () => (await ask("kept.example.com")) + (await ask("pruned.example.com")) === "oneone",
    );
    expect((await applied(labelled("kept"))).stdout).toContain("serviceroute.serviceroute.dev/pruned pruned");
    await until("gone", async () => (await ask("pruned.example.com")) === "404");
    expect(await ask("kept.example.com")).toBe("one");
    expect(await (await fetch(`${controller.admin}/v1/routes`)).text()).not.toContain("pruned.example.com");
    await cluster.kubectl(["delete", "serviceroute", "kept"]);
  });

  test("kstatus says Current of a good object and Failed of a bad one", async () => {
    await cluster.apply(
      route("good", `{hostnames: [good.example.com], ${to("web")}}`) +
        route(
          "bad",
          `{rules: [{rateLimits: [{name: a, count: 1, interval: 1s}], backendRefs: [{name: web, port: 80}]}]}`,
        ),
    );
    await until("Current", async () => (await kstatusOf(cluster, "good")) === "Current");
    await until("Failed", async () => (await kstatusOf(cluster, "bad")) === "Failed");
    await cluster.kubectl(["delete", "serviceroute", "good", "bad"]);
  });
});
