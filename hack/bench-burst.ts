/**
 * `npm run bench:burst`: 5,000 routes written into a folder within 10 s, with a request every few milliseconds meanwhile:
 * how late the event loop of the process that serves was, and how long requests took, with the gateway in a worker and
 * in the one process. Prints JSON.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { createServer as createHttpServer, get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const ROOT = join(import.meta.dirname, "..");
const ROUTES = 5000;
const SECONDS = 10;
const HOST = "steady.example.com";

const route = (name: string, host: string): string =>
  `apiVersion: serviceroute.dev/v1alpha1
kind: ServiceRoute
metadata: {name: ${name}}
spec: {hostnames: [${host}], rules: [{backendRefs: [{name: web, port: 80}]}]}
`;
const service = (port: number): string => `apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: ${port}}]
endpoints: [{addresses: [127.0.0.1]}]
`;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function ask(port: number): Promise<number> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    get({ host: "127.0.0.1", port, headers: { host: HOST } }, (answer) => {
      answer.resume().on("end", () => {
        if (answer.statusCode === 200) resolve(performance.now() - started);
        else reject(new Error(`answered ${answer.statusCode ?? 0}`));
      });
    }).on("error", reject);
  });
}

interface Figures {
  readonly workers: number;
  readonly requests: number;
  readonly requestMs: { readonly p50: number; readonly p99: number; readonly longest: number };
  readonly eventLoopDelayMs: { readonly p99: number; readonly longest: number };
  /** From the last file written to all routes in the table. */
  readonly behindMs: number;
}

const round = (ms: number): number => Math.round(ms * 10) / 10;

/** Worker's own where there is one: its gauge; else that of the one process, which prom-client measures. */
async function delays(admin: number, workers: number): Promise<Figures["eventLoopDelayMs"]> {
  const text = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
  const value = (name: string): number => {
    const line = text.split("\n").find((one) => one.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1) ?? Number.NaN) * 1000;
  };
  const ofWorker = (quantile: string): number =>
    value(`serviceroute_worker_event_loop_delay_seconds{worker="1",quantile="${quantile}"}`);
  return workers > 0
    ? { p99: round(ofWorker("0.99")), longest: round(ofWorker("1")) }
    : {
        p99: round(value("nodejs_eventloop_lag_p99_seconds")),
        longest: round(value("nodejs_eventloop_lag_max_seconds")),
      };
}

async function routesIn(admin: number): Promise<number> {
  const { items } = (await (await fetch(`http://127.0.0.1:${admin}/v1/routes`)).json()) as { items: unknown[] };
  return items.length;
}

async function burst(workers: number): Promise<Figures> {
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-burst-"));
  const backend = createHttpServer((_request, response) => response.end("web")).listen(0, "127.0.0.1");
  await new Promise((resolve) => backend.once("listening", resolve));
  writeFileSync(
    join(folder, "all.yaml"),
    `${service((backend.address() as AddressInfo).port)}---\n${route("steady", HOST)}`,
  );
  const [port, admin] = [await freePort(), await freePort()];
  const flags = [
    "--http-port",
    String(port),
    "--admin-address",
    `127.0.0.1:${admin}`,
    "--gateway-workers",
    String(workers),
  ];
  const child: ChildProcess = spawn(
    join(import.meta.dirname, "node"),
    ["src/main.ts", "gateway", folder, "--bind-address", "127.0.0.1", "--log-level", "error", ...flags],
    { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] },
  );
  try {
    while (
      !(await ask(port).then(
        () => true,
        () => false,
      ))
    )
      await sleep(50);
    await delays(admin, workers);
    const took: number[] = [];
    const state = { isOver: false };
    const asking = (async () => {
      while (!state.isOver) {
        took.push(await ask(port));
        await sleep(3);
      }
    })();
    const started = performance.now();
    for (let i = 0; i < ROUTES; i++) {
      writeFileSync(join(folder, `r${i}.yaml`), route(`r${i}`, `h${i}.example.com`));
      const due = started + ((i + 1) * SECONDS * 1000) / ROUTES;
      const early = due - performance.now();
      if (early > 0) await sleep(early);
    }
    const written = performance.now();
    while ((await routesIn(admin)) <= ROUTES) await sleep(100);
    const behindMs = round(performance.now() - written);
    state.isOver = true;
    await asking;
    took.sort((a, b) => a - b);
    const at = (share: number): number => round(took[Math.floor(share * (took.length - 1))] ?? 0);
    return {
      workers,
      requests: took.length,
      requestMs: { p50: at(0.5), p99: at(0.99), longest: at(1) },
      eventLoopDelayMs: await delays(admin, workers),
      behindMs,
    };
  } finally {
    child.kill("SIGTERM");
    await new Promise((resolve) => child.once("exit", resolve));
    backend.closeAllConnections();
    backend.close();
    rmSync(folder, { recursive: true });
  }
}

console.log(JSON.stringify([await burst(1), await burst(0)], undefined, 2));
