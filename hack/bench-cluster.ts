/**
 * `npm run bench:cluster`: from a write at a real API server to the first request served and to the status written,
 * beside the bare latency of a watch in the same run. Runs in a network namespace of its own.
 */
import { createServer, request, Agent } from "node:http";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { KubeConfig } from "@kubernetes/client-node";
import { ApiClient } from "../src/kube/api-client.ts";
import { ListWatch, type RawObject } from "../src/kube/list-watch.ts";
import { createLogger } from "../src/telemetry/logger.ts";
import { Cluster } from "../test/support/cluster.ts";
import { ControllerProcess } from "../test/support/controller.ts";
import { until } from "../test/support/data-plane.ts";
import { noisyTenant } from "./bench-tenants.ts";

const ROOT = join(import.meta.dirname, "..");
const GATEWAY = "198.51.100.10";
const SAMPLES = Number(process.env["BENCH_SAMPLES"] ?? 40);
const SIZES = [0, 1000, 5000];

const cluster = await new Cluster().start();
await cluster.apply(readFileSync(join(ROOT, "crds/serviceroute.dev_serviceroutes.yaml"), "utf8"));
await cluster.kubectl(["create", "namespace", "serviceroute-system"]);
await cluster.kubectl(["wait", "--for=condition=Established", "crd/serviceroutes.serviceroute.dev", "--timeout=30s"]);
const config = new KubeConfig();
config.loadFromFile(cluster.kubeconfig);
const client = new ApiClient(config);
const PATH = "/apis/serviceroute.dev/v1alpha1/namespaces/default/serviceroutes";

const backend = createServer((_request, response) => response.end("ok"));
await new Promise<void>((resolve) => backend.listen(8000, "198.51.100.21", resolve));
await cluster.apply(
  "---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\nspec: {ports: [{name: http, port: 80}]}\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-1, namespace: default, labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nports: [{name: http, port: 8000}]\nendpoints: [{addresses: [198.51.100.21]}]\n",
);
const rssOf = ({ program }: ControllerProcess): number =>
  Number(/VmRSS:\s+([0-9]+)/.exec(readFileSync(`/proc/${program.child.pid ?? 0}/status`, "utf8"))?.[1] ?? 0) / 1024;

/** Of the image's own program, in a cluster without routes, ten seconds after it is ready. */
async function idleRss(): Promise<number> {
  const tree = process.env["SERVICEROUTE_ROOTFS"] ?? "";
  const program = [
    join(tree, "bin/node"),
    "--disable-proto=delete",
    "--disallow-code-generation-from-strings",
    join(tree, "app/dist/main.js"),
  ] as const;
  const idle = new ControllerProcess(cluster, ["--bind-address", "198.51.100.11"], cluster.kubeconfig, program);
  await idle.ready();
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const rss = rssOf(idle);
  await idle.stop();
  return rss;
}
const idleRssMb = await idleRss();

const controller = await new ControllerProcess(cluster, [
  "--bind-address",
  GATEWAY,
  "--leader-elect",
  "--replica-name",
  "bench",
]).ready();

const seen = new Map<string, number>();
const programmed = new Set<string>();
const stop = new AbortController();
const note = (raw: RawObject): void => {
  const name = raw.metadata?.name ?? "";
  if (!seen.has(name)) seen.set(name, performance.now());
  const { status } = raw as { status?: { conditions?: { type: string; status: string }[] } };
  if (status?.conditions?.some((c) => c.type === "Programmed" && c.status === "True") === true) programmed.add(name);
};
void new ListWatch({
  client,
  path: PATH,
  log: createLogger("silent"),
  random: Math.random,
  absentWhen: [],
  feed: {
    replace: (items) => items.forEach(note),
    events: (events) => events.forEach(({ object }) => note(object)),
    synced: () => undefined,
    failed: () => undefined,
    restarted: () => undefined,
  },
}).start(stop.signal);

const agent = new Agent({ keepAlive: true });
const answers = async (host: string): Promise<boolean> =>
  new Promise((resolve) => {
    const outgoing = request({ host: GATEWAY, port: 8080, headers: { host }, agent }, (incoming) => {
      incoming.resume();
      incoming.on("end", () => resolve(incoming.statusCode === 200));
    });
    outgoing.on("error", () => resolve(false));
    outgoing.end();
  });

const create = async (name: string): Promise<unknown> =>
  client.json({
    method: "POST",
    path: PATH,
    body: {
      apiVersion: "serviceroute.dev/v1alpha1",
      kind: "ServiceRoute",
      metadata: { name },
      spec: { hostnames: [`${name}.example.com`], rules: [{ backendRefs: [{ name: "web", port: 80 }] }] },
    },
  });

async function createAll(prefix: string, count: number): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      for (let i = next++; i < count; i = next++) await create(`${prefix}-${i}`);
    }),
  );
}

const quantile = (values: readonly number[], q: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))] ?? 0;
const round = (value: number): number => Math.round(value * 10) / 10;

/** Of ServiceRoutes, since the controller started. */
async function statusWrites(): Promise<number> {
  const text = await (await fetch(`${controller.admin}/metrics`)).text();
  return Number(
    /^serviceroute_status_writes_total\{kind="ServiceRoute",result="written"\} ([0-9]+)$/m.exec(text)?.[1] ?? 0,
  );
}

async function latencyAt(size: number): Promise<object> {
  const [served, watched] = [[] as number[], [] as number[]];
  for (let i = 0; i < SAMPLES; i++) {
    const name = `probe-${size}-${i}`;
    const started = performance.now();
    const created = create(name);
    while (!(await answers(`${name}.example.com`)));
    served.push(performance.now() - started);
    await created;
    await until("the bare watch", () => seen.has(name));
    watched.push((seen.get(name) ?? 0) - started);
  }
  return {
    routes: size,
    servedMs: { p50: round(quantile(served, 0.5)), p99: round(quantile(served, 0.99)) },
    bareWatchMs: { p50: round(quantile(watched, 0.5)), p99: round(quantile(watched, 0.99)) },
  };
}

const latency: object[] = [];
let have = 0;
let bulk: object = {};
for (const size of SIZES) {
  const started = performance.now();
  await createAll(`fill-${size}`, size - have);
  const applied = performance.now();
  if (size === 1000) {
    await until("all are served", async () => answers(`fill-1000-${size - 1}.example.com`), 60_000);
    const served = performance.now();
    await until(
      "all statuses are written",
      () => [...programmed].filter((name) => name.startsWith("fill-1000")).length === 1000,
      300_000,
    );
    bulk = {
      routes: 1000,
      applyMs: round(applied - started),
      servedAfterLastApplyMs: round(served - applied),
      statusesAfterLastApplyMs: round(performance.now() - applied),
      statusWritesPerRoute: round((await statusWrites()) / 1000),
    };
  }
  have = size;
  await until(
    "every status is written",
    () => [...programmed].filter((name) => name.startsWith("fill-")).length >= size,
    300_000,
  );
  await new Promise((resolve) => setTimeout(resolve, 2000));
  latency.push(await latencyAt(size));
}
const tenants = await noisyTenant(client, PATH, async () => answers("fill-1000-0.example.com"));
console.log(
  JSON.stringify(
    {
      node: process.version,
      samples: SAMPLES,
      latency,
      bulk,
      tenants,
      rssMb: { idleCompiled: round(idleRssMb), at5000FromCheckout: round(rssOf(controller)) },
    },
    null,
    2,
  ),
);
stop.abort();
await controller.stop();
backend.close();
await cluster.stop();
process.exit(0);
