/** What a tenant who writes without pause costs another's requests (S31); part of `npm run bench:cluster`. */
import type { ApiClient } from "../src/kube/api-client.ts";

const REQUESTS = 3000;
const WRITERS = 8;
const OBJECTS = 200;

interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly writesPerSecond: number;
}

function quantile(sorted: readonly number[], q: number): number {
  return Math.round((sorted[Math.floor(sorted.length * q)] ?? 0) * 100) / 100;
}

/** One request after the other while `write` is called by eight writers without pause. */
async function latencyBeside(ask: () => Promise<boolean>, write?: (i: number) => Promise<unknown>): Promise<Latency> {
  let running = true;
  let writes = 0;
  const writers = Array.from({ length: write === undefined ? 0 : WRITERS }, async () => {
    while (running) await write?.(writes++);
  });
  const times: number[] = [];
  const begun = performance.now();
  for (let i = 0; i < REQUESTS; i++) {
    const started = performance.now();
    if (!(await ask())) throw new Error("a request of the quiet tenant failed");
    times.push(performance.now() - started);
  }
  const seconds = (performance.now() - begun) / 1000;
  running = false;
  await Promise.all(writers);
  times.sort((a, b) => a - b);
  return { p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99), writesPerSecond: Math.round(writes / seconds) };
}

/**
 * Latency of one tenant's requests: alone, beside another who edits ConfigMaps, which we do not read, and beside one
 * who edits routes. The second is the baseline of the third: the same load on the API server and on the machine.
 */
export async function noisyTenant(
  client: ApiClient,
  routesPath: string,
  ask: () => Promise<boolean>,
): Promise<Readonly<Record<"alone" | "besideConfigMaps" | "besideRoutes", Latency>>> {
  const configMaps = routesPath.replace(/^.*\/namespaces\/([^/]+)\/.*$/, "/api/v1/namespaces/$1/configmaps");
  const apply = async (
    path: string,
    kind: string,
    apiVersion: string,
    i: number,
    content: object,
  ): Promise<unknown> => {
    const name = `noisy-${i % OBJECTS}`;
    return client.json({
      method: "PATCH",
      path: `${path}/${name}`,
      query: { fieldManager: "bench", force: "true" },
      contentType: "application/apply-patch+yaml",
      body: { apiVersion, kind, metadata: { name }, ...content },
    });
  };
  const editConfigMap = async (i: number): Promise<unknown> =>
    apply(configMaps, "ConfigMap", "v1", i, { data: { version: String(i) } });
  const editRoute = async (i: number): Promise<unknown> =>
    apply(routesPath, "ServiceRoute", "serviceroute.dev/v1alpha1", i, {
      spec: {
        hostnames: [`noisy-${i % OBJECTS}.example.com`],
        rules: [{ matches: [{ path: { value: `/v${i}` } }], backendRefs: [{ name: "web", port: 80 }] }],
      },
    });
  for (let i = 0; i < OBJECTS; i++) await Promise.all([editConfigMap(i), editRoute(i)]);
  return {
    alone: await latencyBeside(ask),
    besideConfigMaps: await latencyBeside(ask, editConfigMap),
    besideRoutes: await latencyBeside(ask, editRoute),
  };
}
