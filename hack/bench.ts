/**
 * `npm run bench`: what a change costs, from an object to the table and its statuses, at several sizes of the table.
 * Every figure stands beside a baseline of the same run. Prints JSON; `npm run bench -- --markdown` a table.
 */
import { performance } from "node:perf_hooks";
import { keyOf } from "../src/api/keys.ts";
import { type KubeObject, parseObject } from "../src/api/objects.ts";
import { DEFAULT_OPTIONS } from "../src/proxy/gateway-context.ts";
import { gatewayHere } from "../src/commands/data-plane.ts";
import { createEngine, type Engine } from "../src/commands/engine.ts";
import { createLogger } from "../src/telemetry/logger.ts";
import { decisionCosts } from "./bench-decisions.ts";
import { Metrics } from "../src/telemetry/metrics.ts";

const SIZES = [0, 1000, 5000, 40_000];
const CHANGES = 300;

function service(i: number): KubeObject[] {
  const name = `s${i}`;
  return [
    object("Service", { metadata: { name, namespace: "bench", uid: name }, spec: { ports: [{ port: 80 }] } }),
    slice(i, 1),
  ];
}

function slice(i: number, version: number): KubeObject {
  const metadata = {
    name: `s${i}-1`,
    namespace: "bench",
    uid: `e${i}`,
    resourceVersion: String(version),
    generation: version,
    labels: { "kubernetes.io/service-name": `s${i}` },
  };
  return object("EndpointSlice", {
    metadata,
    addressType: "IPv4",
    ports: [{ port: 8000 }],
    endpoints: [{ addresses: [`198.51.100.${(version % 250) + 1}`] }],
  });
}

function route(i: number, generation: number): KubeObject {
  const metadata = {
    name: `r${i}`,
    namespace: "bench",
    uid: `r${i}`,
    generation,
    resourceVersion: String(generation),
    creationTimestamp: "2026-01-01T00:00:00Z",
  };
  const backendRefs = [
    { name: `s${i}`, port: 80, weight: 90 },
    { name: `s${i === 0 ? 0 : i - 1}`, port: 80, weight: 10 },
  ];
  const rules = [
    { matches: [{ path: { value: `/v${generation}` } }], backendRefs },
    { name: "rest", backendRefs },
  ];
  return object("ServiceRoute", { metadata, spec: { hostnames: [`h${i}.example.com`], rules } });
}

/** As much as the schema allows at once: 64 rules with 4 matches each, 16 headers a match, 16 backends a rule (P21). */
function largestRoute(generation: number): KubeObject {
  const many = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));
  const headers = many(16, (i) => ({ name: `x-h${i}`, value: `v${i}` }));
  const backendRefs = many(16, (i) => ({ name: `s${i}`, port: 80 }));
  const rules = many(64, (r) => ({
    matches: many(4, (m) => ({ path: { value: `/g${generation}/r${r}/m${m}` }, headers })),
    backendRefs,
  }));
  const metadata = {
    name: "largest",
    namespace: "bench",
    uid: "largest",
    generation,
    resourceVersion: String(generation),
  };
  return object("ServiceRoute", { metadata, spec: { hostnames: ["largest.example.com"], rules } });
}

function object(kind: "Service" | "EndpointSlice" | "ServiceRoute", raw: unknown): KubeObject {
  const parsed = parseObject(kind, raw);
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.object;
}

function engine(): Engine {
  const [log, metrics] = [createLogger("silent"), new Metrics()];
  const made = createEngine({
    options: {
      gatewayClass: "serviceroute",
      classByName: true,
      bindAddress: "127.0.0.1",
      advertisedAddress: "127.0.0.1",
      allowLoopback: true,
      builtin: { httpPort: 18_999, httpsPort: 18_998 },
    },
    gateway: gatewayHere({ serving: DEFAULT_OPTIONS, log, metrics }),
    log,
    metrics,
    replicas: false,
    sink: { routesChanged: () => undefined, gatewaysChanged: () => undefined },
  });
  made.controller.open();
  return made;
}

const heap = (): number => {
  globalThis.gc?.();
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
};

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;
}

/** Milliseconds of each change, from the object to the table and statuses. */
function measure(target: Engine, change: (i: number) => KubeObject): { p50: number; p99: number } {
  const times: number[] = [];
  for (let i = 0; i < CHANGES; i++) {
    const next = change(i);
    const started = performance.now();
    target.store.apply(next);
    target.controller.changed();
    times.push(performance.now() - started);
  }
  times.sort((a, b) => a - b);
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}

async function atSize(size: number) {
  const target = engine();
  const before = heap();
  const started = performance.now();
  target.store.transaction(() => {
    for (let i = 0; i < size; i++) for (const one of [...service(i), route(i, 1)]) target.store.apply(one);
  });
  target.controller.changed();
  const fill = performance.now() - started;
  const perRoute = size === 0 ? 0 : (heap() - before) / size;
  const probe = Math.max(1, size);
  for (const one of service(probe)) target.store.apply(one);
  target.store.apply(route(probe, 1));
  target.controller.changed();
  const warm = 50;
  for (let i = 2; i < warm; i++) {
    target.store.apply(slice(probe, i));
    target.store.apply(route(probe, i));
    target.controller.changed();
  }
  const endpoint = measure(target, (i) => slice(probe, warm + i));
  const edited = measure(target, (i) => route(probe, warm + i));
  const live = target.translator.table.routes.has(keyOf("ServiceRoute", "bench", `r${probe}`));
  await target.gateway.drain(0);
  return { routes: size, fillMs: fill, heapPerRouteBytes: perRoute, endpointMs: endpoint, routeMs: edited, live };
}

async function atLargest(): Promise<{ p50: number; p99: number }> {
  const target = engine();
  for (let i = 0; i < 16; i++) for (const one of service(i)) target.store.apply(one);
  for (let i = 1; i < 20; i++) {
    target.store.apply(largestRoute(i));
    target.controller.changed();
  }
  const times = measure(target, (i) => largestRoute(20 + i));
  await target.gateway.drain(0);
  return times;
}

/** What the same change costs without us: the object parsed, frozen and put into a Map. */
function baseline(): { p50: number; p99: number } {
  const objects = new Map<string, KubeObject>();
  const times: number[] = [];
  for (let i = 0; i < CHANGES; i++) {
    const started = performance.now();
    const next = route(1, i + 1);
    objects.set(next.key, next);
    times.push(performance.now() - started);
  }
  times.sort((a, b) => a - b);
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}

const results = [];
for (const size of SIZES) results.push(await atSize(size));
const report = {
  node: process.version,
  changes: CHANGES,
  baselineParseAndStoreMs: baseline(),
  largestRouteMs: await atLargest(),
  decisions: decisionCosts(),
  results,
};

if (process.argv.includes("--markdown")) {
  const ms = (value: number): string => value.toFixed(3);
  console.log(
    "| routes | endpoint change p50 / p99 ms | route change p50 / p99 ms | heap per route KB | fill ms |\n|---|---|---|---|---|",
  );
  for (const r of results)
    console.log(
      `| ${r.routes} | ${ms(r.endpointMs.p50)} / ${ms(r.endpointMs.p99)} | ${ms(r.routeMs.p50)} / ${ms(r.routeMs.p99)} | ${(r.heapPerRouteBytes / 1024).toFixed(1)} | ${r.fillMs.toFixed(0)} |`,
    );
  console.log(
    `\nbaseline (parse, freeze, Map.set): ${ms(report.baselineParseAndStoreMs.p50)} / ${ms(report.baselineParseAndStoreMs.p99)} ms\nthe largest route that the schema allows: ${ms(report.largestRouteMs.p50)} / ${ms(report.largestRouteMs.p99)} ms`,
  );
  console.log(
    "\n| routes | a decision among those on other hosts, ns | on the same host | same path, by a header | by patterns | by patterns that begin alike (1,000 at most) |\n|---|---|---|---|---|---|",
  );
  for (const { routes, ...costs } of report.decisions) {
    const { onOtherHostsNs, onTheSameHostNs, byHeaderNs, byPatternNs, byOpenPatternNs } = costs;
    const cells = [onOtherHostsNs, onTheSameHostNs, byHeaderNs, byPatternNs, byOpenPatternNs];
    console.log(`| ${routes} | ${cells.map((ns) => ns.toFixed(0)).join(" | ")} |`);
  }
} else console.log(JSON.stringify(report, null, 2));
process.exit(0);
