/** `npm start`: the sample shop behind a gateway, with small instances of its own; shows what happens when one dies. */
import { mkdtempSync, rmSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs, styleText } from "node:util";
import { CommandError } from "../../src/commands/exit.ts";
import { runGateway } from "../../src/commands/gateway.ts";
import { stopSignal } from "../../src/commands/stop-signal.ts";
import { type Instance, startInstance } from "./instances.ts";
import { writeSlices } from "./slices.ts";

const SAMPLES = join(import.meta.dirname, "../../manifests/samples/microservices-demo");
const REPLICAS: Readonly<Record<string, number>> = {
  frontend: 3,
  "frontend-canary": 1,
  "frontend-beta": 1,
  productcatalogservice: 2,
  cartservice: 2,
  checkoutservice: 2,
  currencyservice: 2,
  paymentservice: 1,
  shippingservice: 1,
  emailservice: 1,
  recommendationservice: 2,
  "recommendationservice-v2": 1,
  adservice: 1,
  shoppingassistantservice: 1,
};
const REQUESTS = 1000;

const say = (text = ""): void => void process.stdout.write(`${text}\n`);
const bold = (text: string): string => styleText("bold", text, { stream: process.stdout });
const dim = (text: string): string => styleText("dim", text, { stream: process.stdout });

async function ask(port: number): Promise<string> {
  return new Promise((resolve) => {
    const request = get({ host: "127.0.0.1", port, path: "/", headers: { host: "shop.example.com" } }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (body += chunk));
      response.on("end", () =>
        resolve(
          response.statusCode === 200
            ? (JSON.parse(body) as { instance: string }).instance
            : `status ${response.statusCode ?? 0}`,
        ),
      );
    });
    request.on("error", (error) => resolve(error.message));
  });
}

/** Sends requests and prints who answered, as bars. */
async function spread(port: number, during?: () => Promise<void>): Promise<void> {
  const counts = new Map<string, number>();
  const started = Date.now();
  const send = async (): Promise<void> => {
    for (let i = 0; i < REQUESTS / 20; i++) {
      const who = await ask(port);
      counts.set(who, (counts.get(who) ?? 0) + 1);
    }
  };
  await Promise.all([...Array.from({ length: 20 }, send), during?.()]);
  for (const [who, count] of [...counts].sort()) {
    const share = (count * 100) / REQUESTS;
    say(
      `    ${who.padEnd(20)} ${"█".repeat(Math.round(share / 2)).padEnd(30)} ${String(count).padStart(4)}  ${share.toFixed(1)} %`,
    );
  }
  const failed = [...counts].filter(([who]) => !who.startsWith("frontend")).reduce((sum, [, count]) => sum + count, 0);
  say(dim(`    ${REQUESTS} requests in ${Date.now() - started} ms, ${failed} failed`));
  say();
}

function introduce(port: number, admin: number, instances: readonly Instance[]): void {
  const services = new Set(instances.map(({ service }) => service)).size;
  say();
  say(bold("ServiceRoute demo shop"));
  say(
    `  ${services} services, ${instances.length} instances, one gateway: http://127.0.0.1:${port}  ${dim(`(routes in manifests/samples/microservices-demo)`)}`,
  );
  say();
  say(bold("  Try in another terminal"));
  const host = (name: string): string => `curl -H 'Host: ${name}' http://127.0.0.1:${port}`;
  say(`    ${host("shop.example.com")}/                          ${dim("90 % stable, 10 % canary")}`);
  say(`    ${host("shop.example.com")}/ -H 'x-beta: 1'           ${dim("a header route")}`);
  say(`    ${host("api.shop.example.com")}/ads/today             ${dim("a rewrite: the backend sees /v1/ads/today")}`);
  say(`    npm run -s serviceroute -- get routes --admin http://127.0.0.1:${admin}`);
  say(
    `    npm run -s serviceroute -- explain GET http://shop.example.com/ -H 'x-beta: 1' --admin http://127.0.0.1:${admin}`,
  );
  say();
}

async function show(port: number, folder: string, instances: Instance[]): Promise<void> {
  say(bold("  The weights: 90 to 10"));
  await spread(port);
  const victim = instances.find(({ service }) => service === "frontend");
  if (victim === undefined) return;
  say(bold(`  ${victim.name} is killed while requests run, and a moment later its endpoint is withdrawn`));
  const rest = instances.filter((one) => one !== victim);
  await spread(port, async () => {
    await sleep(50);
    await victim.stop();
    await sleep(100);
    writeSlices(folder, rest);
  });
  say(bold("  It comes back"));
  const returned = await startInstance(victim.service, victim.name);
  instances.splice(instances.indexOf(victim), 1, returned);
  writeSlices(folder, instances);
  await sleep(500);
  await spread(port);
}

const OPTIONS = {
  "http-port": { type: "string", default: "8080" },
  "admin-port": { type: "string", default: "9090" },
  once: { type: "boolean", default: false },
} as const;

function readFlags(): { port: number; admin: number; once: boolean } {
  const isPort = (text: string): boolean => /^[0-9]{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535;
  try {
    const { values } = parseArgs({ options: OPTIONS });
    const bad = [values["http-port"], values["admin-port"]].find((text) => !isPort(text));
    if (bad !== undefined) throw new Error(`"${bad}" is no port`);
    return { port: Number(values["http-port"]), admin: Number(values["admin-port"]), once: values.once };
  } catch (error) {
    throw new CommandError((error as Error).message, 2);
  }
}

async function main(): Promise<void> {
  const { port, admin, once } = readFlags();
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-demo-"));
  const names = Object.entries(REPLICAS).flatMap(([service, count]) =>
    Array.from({ length: count }, (_, i) => ({ service, name: `${service}-${i + 1}` })),
  );
  const instances = await Promise.all(names.map(({ service, name }) => startInstance(service, name)));
  writeSlices(folder, instances);
  const stop = new AbortController();
  stopSignal().addEventListener("abort", () => stop.abort());
  const flags = {
    gatewayClass: "serviceroute",
    httpPort: port,
    httpsPort: 8443,
    bindAddress: "127.0.0.1",
    adminAddress: { host: "127.0.0.1", port: admin },
    metricsAddress: undefined,
    logLevel: "warn",
    reasonHeader: true,
    underscoreHeaders: "reject",
    trustedHops: 0,
    routeHeader: true,
    http2: "auto",
    maxConnections: 1000,
    maxEventLoopDelay: 500,
    gatewayWorkers: 0,
    accessLog: false,
    accessLogSample: 1,
    dataPlane: "embedded",
    xdsAddress: { host: "127.0.0.1", port: 18_000 },
    drainTimeout: 5,
  } as const;
  const running = runGateway([SAMPLES, folder], flags, stop.signal);
  try {
    await Promise.race([running, sleep(500)]);
    introduce(port, admin, instances);
    await show(port, folder, instances);
    if (!once) say(`  The gateway goes on; edit the manifests and watch. ${bold("Ctrl-C ends it.")}`);
    if (once) stop.abort();
    await running;
  } finally {
    await Promise.all(instances.map(async (instance) => instance.stop()));
    rmSync(folder, { recursive: true, force: true });
  }
}

main().catch((error: unknown) => {
  const hint =
    error instanceof CommandError
      ? `${error.message}\nFor the demo: npm start -- --http-port 18080 --admin-port 19090`
      : String(error);
  process.stderr.write(`${hint}\n`);
  process.exitCode = error instanceof CommandError ? error.exitCode : 1;
});
