/**
 * `npm run bench:gateway`: requests through the embedded gateway, beside a bare proxy in Node, @fastify/http-proxy, Envoy
 * and, where it is installed, Caddy, by turns, all on the same one core; backend and load tool have another. Needs wrk,
 * h2load, taskset and openssl, and two cores.
 * Prints JSON; `npm run bench:gateway -- --markdown` a table. `--seconds` is how long each run takes (5), `--rounds` how
 * many there are of each (3), of which the median counts, `--only` a part of the names of scenarios.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Load, type Target, grpcLoad, h2load, webSockets, wrk } from "./bench-gateway/load.ts";
import { type Gateway, LOAD_CORE, Peers, has } from "./bench-gateway/peers.ts";
import { GRPC_PREFIX, HOST, HOSTS, ROUTES, manyHosts } from "./bench-gateway/setup.ts";

const { values } = parseArgs({
  options: {
    markdown: { type: "boolean", default: false },
    seconds: { type: "string", default: "5" },
    rounds: { type: "string", default: "3" },
    only: { type: "string", default: "" },
  },
});
const [seconds, rounds] = [Number(values.seconds), Number(values.rounds)];

interface Scenario {
  readonly name: string;
  readonly tool: typeof wrk;
  /** undefined: this gateway cannot be asked so. */
  readonly target: (gateway: Gateway) => Target | undefined;
}

interface Figure {
  readonly scenario: string;
  readonly gateway: string;
  readonly load: Load;
  /** Our requests a second beside its of the same round: the least, the median and the most. */
  readonly ratio: readonly [least: number, median: number, most: number];
}

const plain = (path: string, hosts: readonly string[] = [HOST]) =>
  (({ http: port }: Gateway) => ({ scheme: "http", port, path, hosts })) satisfies Scenario["target"];
const secure = (path: string) =>
  (({ https: port }: Gateway) =>
    port === undefined ? undefined : { scheme: "https", port, path, hosts: [HOST] }) satisfies Scenario["target"];
const where =
  (is: (gateway: Gateway) => boolean, target: Scenario["target"]): Scenario["target"] =>
  (gateway) =>
    is(gateway) ? target(gateway) : undefined;
const speaksHttp2 = ({ http2 }: Gateway): boolean => http2;

const SCENARIOS: readonly Scenario[] = [
  { name: "small bodies (10 bytes)", tool: wrk, target: plain("/10") },
  { name: "1 MB bodies", tool: wrk, target: plain("/1000000") },
  {
    name: `${ROUTES.toLocaleString("en")} routes on ${HOSTS} hosts`,
    tool: wrk,
    target: plain("/10", manyHosts()),
  },
  { name: "TLS, small bodies", tool: wrk, target: secure("/10") },
  { name: "HTTP/2 in clear, small bodies", tool: h2load, target: where(speaksHttp2, plain("/10")) },
  { name: "HTTP/2 on TLS, small bodies", tool: h2load, target: where(speaksHttp2, secure("/10")) },
  { name: "gRPC, unary calls", tool: grpcLoad, target: where(speaksHttp2, plain(`${GRPC_PREFIX}/Unary`)) },
  { name: "WebSocket, messages there and back", tool: webSockets, target: plain("/chat") },
];

function requireTools(): void {
  const missing = ["wrk", "h2load", "taskset", "openssl"].filter((tool) => !has(tool));
  if (missing.length > 0)
    throw new Error(`${missing.join(", ")} needed: apt install wrk nghttp2-client util-linux openssl`);
  if (availableParallelism() < 2) throw new Error("two cores are needed: one for the gateway, one for the load");
}

const median = (loads: readonly Load[]): Load => {
  const middle = [...loads].sort((a, b) => a.perSecond - b.perSecond)[Math.floor(loads.length / 2)];
  if (middle === undefined) throw new RangeError("--rounds must be 1 or more");
  return middle;
};

/** By round: a machine that has less to give in one of them has it for both. */
function ratios(ours: readonly Load[], theirs: readonly Load[]): Figure["ratio"] {
  const all = theirs.map(({ perSecond }, i) => (ours[i]?.perSecond ?? NaN) / perSecond).sort((a, b) => a - b);
  return [all[0] ?? NaN, all[Math.floor(all.length / 2)] ?? NaN, all.at(-1) ?? NaN];
}

/** By turns, so that what else the machine does hits all alike. The first run of each only warms up. */
async function measure({ name, tool, target }: Scenario, gateways: readonly Gateway[]): Promise<Figure[]> {
  const asked = gateways.flatMap((gateway) => {
    const at = target(gateway);
    return at === undefined ? [] : [{ gateway: gateway.name, at, loads: [] as Load[] }];
  });
  for (let round = 0; round <= rounds; round++) {
    process.stderr.write(`${name}: ${round === 0 ? "warming up" : `round ${round} of ${rounds}`}\n`);
    for (const { gateway, at, loads } of asked) {
      const load = await tool(LOAD_CORE, at, seconds);
      if (!(load.perSecond > 0)) throw new Error(`${name}: ${gateway} answered nobody in a whole round`);
      if (round > 0) loads.push(load);
    }
  }
  const ours = asked[0]?.loads ?? [];
  return asked.map(({ gateway, loads }) => {
    const load = median(loads);
    process.stderr.write(
      `  ${gateway}: ${Math.round(load.perSecond)}/s, p99 ${load.p99.toFixed(1)} ms, ${load.failed} failed\n`,
    );
    return { scenario: name, gateway, load, ratio: ratios(ours, loads) };
  });
}

function markdown(figures: readonly Figure[]): string {
  const rows = figures.map(({ scenario, gateway, load: { perSecond, p50, p99, p999, failed }, ratio }, i) => [
    figures[i - 1]?.scenario === scenario ? "" : scenario,
    gateway,
    Math.round(perSecond).toLocaleString("en"),
    [p50, p99, p999].map((ms) => ms.toFixed(1)).join(" / "),
    figures[i - 1]?.scenario === scenario
      ? `${ratio[1].toFixed(2)} (${ratio[0].toFixed(2)}–${ratio[2].toFixed(2)})`
      : "",
    String(failed),
  ]);
  const head = ["", "", "a second", "p50 / p99 / p99.9 ms", "we beside it", "failed"];
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

requireTools();
const folder = mkdtempSync(join(tmpdir(), "serviceroute-bench-"));
const peers = new Peers(folder);
try {
  execFileSync(process.execPath, ["hack/build.ts"], {
    cwd: join(import.meta.dirname, ".."),
    stdio: ["ignore", "ignore", "inherit"],
  });
  const gateways = await peers.start();
  const figures: Figure[] = [];
  for (const scenario of SCENARIOS.filter(({ name }) => name.includes(values.only)))
    figures.push(...(await measure(scenario, gateways)));
  const cpu = /^model name\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "unknown";
  console.log(values.markdown ? markdown(figures) : JSON.stringify({ cpu, seconds, rounds, figures }, null, 2));
} finally {
  peers.stop();
  rmSync(folder, { recursive: true });
}
