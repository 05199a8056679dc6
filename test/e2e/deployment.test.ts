import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ServiceRouteStatus } from "../../src/api/service-route.ts";
import { Cluster } from "../support/cluster.ts";
import { send, until } from "../support/data-plane.ts";
import { ProcessKubelet } from "../support/kubelet.ts";
import { LoadBalancer } from "../support/load-balancer.ts";
import { startLoad } from "../support/load.ts";
import { rightsGranted, rightsUsed } from "../support/rights.ts";

const ROOT = join(import.meta.dirname, "../..");
const FULL = process.env["SERVICEROUTE_TEST_SIZE"] === "full";
const FRONT = "192.0.2.10";
const cluster = new Cluster();
const image = {
  rootfs: process.env["SERVICEROUTE_ROOTFS"] ?? "",
  entrypoint: JSON.parse(/^ENTRYPOINT (.*)$/m.exec(readFileSync(join(ROOT, "Dockerfile"), "utf8"))![1]!) as string[],
};
/** A service as its authors would write it: ready when it says so, and what is under way ends before it does. */
const SHOP = `
const server = require("node:http").createServer((request, response) =>
  setTimeout(() => response.end("shop"), request.url === "/slow" ? 300 : 0));
server.listen(8080);
process.on("SIGTERM", () => server.close(() => process.exit(0)));`;
const shopImage = { rootfs: image.rootfs, entrypoint: ["/bin/node", "-e", SHOP, "--"] };
const SHOP_YAML = `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: default}
spec:
  replicas: 3
  selector: {matchLabels: {app: shop}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      securityContext: {runAsUser: 65532, runAsGroup: 65532}
      containers:
        - name: shop
          image: "shop:1"
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
          lifecycle: {preStop: {sleep: {seconds: 1}}}
          securityContext: {readOnlyRootFilesystem: true}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: default}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: http}]}
`;
let kubelet: ProcessKubelet;
let backend: Server;
let balancer: LoadBalancer;

const route = (name: string): string =>
  `---\napiVersion: serviceroute.dev/v1alpha1\nkind: ServiceRoute\nmetadata: {name: ${name}, namespace: default}\nspec: {hostnames: [${name}.example.com], rules: [{backendRefs: [{name: web, port: 80}]}]}\n`;
const programmed = async (name: string): Promise<string> => {
  const { status } = await cluster.get<{ status?: ServiceRouteStatus }>(["serviceroute", name]);
  return status?.conditions?.find((c) => c.type === "Programmed")?.message ?? "";
};
const podCount = async (): Promise<number> =>
  (await cluster.get<{ items: unknown[] }>(["-n", "serviceroute-system", "pods"])).items.length;
const available = async (): Promise<boolean> => {
  const { status } = await cluster.get<{
    status?: { availableReplicas?: number; updatedReplicas?: number; replicas?: number };
  }>(["-n", "serviceroute-system", "deployment", "serviceroute"]);
  return status?.availableReplicas === 2 && status.updatedReplicas === 2 && status.replicas === 2;
};

beforeAll(async () => {
  await cluster.start();
  kubelet = await new ProcessKubelet(
    cluster,
    new Map([
      ["serviceroute:0.1.0", image],
      ["shop:1", shopImage],
    ]),
  ).start();
  backend = createServer((_request, response) => response.end("web"));
  await new Promise<void>((resolve) => backend.listen(8000, "198.51.100.21", resolve));
  for (const args of [
    ["apply", "--server-side", "-f", join(ROOT, "crds")],
    ["apply", "--server-side", "-k", join(process.env["SERVICEROUTE_GATEWAY_API"] ?? "", "config/crd/experimental")],
    ["wait", "--for=condition=Established", "crd/gatewayclasses.gateway.networking.k8s.io", "--timeout=30s"],
    ["apply", "-k", join(ROOT, "manifests/overlays/gateway-api")],
  ]) {
    const { code, stderr } = await cluster.kubectl(args);
    expect(code, stderr).toBe(0);
  }
  await cluster.apply(
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\nspec: {ports: [{name: http, port: 80}]}\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nports: [{name: http, port: 8000}]\nendpoints: [{addresses: [198.51.100.21]}]\n",
  );
  await until("two replicas are available", available, 60_000).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${kubelet.logs("serviceroute")}`);
  });
  balancer = await new LoadBalancer(cluster, ["serviceroute-system", "serviceroute"], FRONT).start();
});

afterAll(async () => {
  balancer.stop();
  kubelet.stop();
  backend.close();
  await cluster.stop();
});

describe("the Deployment as shipped", () => {
  test("S28: serves through its load balancer, as uid 65532 on a read-only root, and says so from both replicas", async () => {
    await cluster.apply(route("shop"));
    await until("live on both", async () => (await programmed("shop")) === "live on 2 of 2", 20_000);
    const load = startLoad({ address: FRONT, port: 80, host: "shop.example.com" }, 4);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const report = await load.stop();
    expect([report.failed, report.sent > 100]).toEqual([0, true]);
  });

  test("P3: the pods of a backend are rolled under load, and no request fails", async () => {
    const rolls = FULL ? 20 : 2;
    const deployed = async (): Promise<boolean> => {
      const { metadata, status = {} } = await cluster.get<{
        metadata: { generation: number };
        status?: Record<string, number | undefined>;
      }>(["deployment", "shop"]);
      const counts = ["replicas", "updatedReplicas", "availableReplicas"].map((count) => status[count]);
      return status["observedGeneration"] === metadata.generation && counts.every((count) => count === 3);
    };
    await cluster.apply(SHOP_YAML);
    await until("three pods", deployed, 60_000);
    await cluster.apply(route("pods").replace("name: web", "name: shop"));
    await until(
      "served",
      async () => (await send(80, "/", { host: "pods.example.com" }, FRONT)).body === "shop",
      20_000,
    );
    const target = { address: FRONT, port: 80, host: "pods.example.com" };
    const [quick, slow] = [startLoad(target, 12), startLoad({ ...target, path: "/slow" }, 8)];
    for (let i = 0; i < rolls || quick.sent() < (FULL ? 100_000 : 20_000); i++) {
      await cluster.kubectl(["rollout", "restart", "deployment/shop"]);
      await until("rolled", deployed, 90_000);
    }
    const [short, long] = [await quick.stop(), await slow.stop()];
    console.log(`# P3, pods: ${short.failed} failed of ${short.sent}, ${long.failed} of ${long.sent} long ones`);
    expect([short.outcomes, long.outcomes]).toEqual([{ "200": short.sent }, { "200": long.sent }]);
    await cluster.kubectl(["delete", "deployment/shop", "service/shop", "serviceroute/pods"]);
  });

  test("P9: both replicas are rolled one by one under load, and no request fails", async () => {
    const load = startLoad({ address: FRONT, port: 80, host: "shop.example.com" }, 8);
    await cluster.kubectl(["-n", "serviceroute-system", "rollout", "restart", "deployment/serviceroute"]);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    await until("rolled", available, 90_000);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const report = await load.stop();
    console.log(`# roll: ${report.failed} failed of ${report.sent}`, report.outcomes);
    expect(report.failed).toBe(0);
  });

  test("two Gateways on port 80 have a Service each, never see each other's routes, and status says where they are", async () => {
    await until("the old ones are gone", async () => (await podCount()) === 2, 60_000);
    const balancers: LoadBalancer[] = [];
    for (const [i, name] of ["one", "two"].entries()) {
      await cluster.apply(
        `---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: ${name}, namespace: default}\nspec: {gatewayClassName: serviceroute, infrastructure: {labels: {team: ${name}}}, listeners: [{name: http, port: 80, protocol: HTTP}]}\n` +
          route(`on-${name}`).replace("spec: {", `spec: {parentRefs: [{name: ${name}}], `),
      );
      await until(
        "its Service",
        async () => (await cluster.kubectl(["get", "service", `${name}-serviceroute`])).code === 0,
        20_000,
      );
      balancers.push(await new LoadBalancer(cluster, ["default", `${name}-serviceroute`], `192.0.2.2${i}`).start());
    }
    const address = async (name: string): Promise<string> => {
      const { status } = await cluster.get<{ status?: { addresses?: { value: string }[] } }>(["gateway", name]);
      return status?.addresses?.[0]?.value ?? "";
    };
    await until(
      "their addresses",
      async () => (await address("one")) === "192.0.2.20" && (await address("two")) === "192.0.2.21",
      20_000,
    );
    const get = async (at: string, host: string): Promise<number> =>
      (await send(80, "/", { host }, at).catch(() => ({ status: 0 }))).status;
    await until("one serves", async () => (await get("192.0.2.20", "on-one.example.com")) === 200, 20_000);
    await until("two serves", async () => (await get("192.0.2.21", "on-two.example.com")) === 200, 20_000);
    expect([await get("192.0.2.20", "on-two.example.com"), await get("192.0.2.21", "on-one.example.com")]).toEqual([
      404, 404,
    ]);
    await until("live on both", async () => (await programmed("on-one")) === "live on 2 of 2", 20_000);
    const { metadata, spec } = await cluster.get<{
      metadata: { labels: Record<string, string> };
      spec: { ports: { targetPort: number }[] };
    }>(["service", "one-serviceroute"]);
    expect([metadata.labels["team"], (spec.ports[0]?.targetPort ?? 0) > 1023]).toEqual(["one", true]);
    await cluster.kubectl(["delete", "gateway", "one", "--wait"]);
    await until(
      "its Service goes with it",
      async () => (await cluster.kubectl(["get", "service", "one-serviceroute"])).code !== 0,
      90_000,
    );
    for (const balancer of balancers) balancer.stop();
  });

  test("a pod that is killed comes back and counts again", async () => {
    await until("the old ones are gone", async () => (await podCount()) === 2, 60_000);
    const name = kubelet.kill("serviceroute");
    expect(name).not.toBe("");
    await until("noticed", async () => !(await available()), 20_000);
    await until("back", available, 60_000);
    await cluster.apply(route("after"));
    await until("live on both", async () => (await programmed("after")) === "live on 2 of 2", 40_000);
    expect((await send(80, "/", { host: "after.example.com" }, FRONT)).body).toBe("web");
  });

  test("P19, S24: rights used are among the rights granted, those for Gateways' Services are all used, none is refused", async () => {
    const [base, overlay] = await Promise.all(
      ["base", "overlays/gateway-api"].map(async (name) => rightsGranted(cluster, join(ROOT, "manifests", name))),
    );
    const { used, refused } = rightsUsed(cluster);
    expect([...used].filter((one) => overlay?.has(one) !== true)).toEqual([]);
    const unused = [...(overlay ?? [])].filter((one) => base?.has(one) !== true && !used.has(one));
    // A server-side apply is logged as a patch; what it makes anew takes the right to create as well.
    expect(unused.sort()).toEqual(["create endpointslices.discovery.k8s.io", "create services"]);
    expect([...refused]).toEqual([]);
  });
});
