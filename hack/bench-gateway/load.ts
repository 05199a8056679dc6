import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** What one run of a load tool saw. Times in milliseconds. */
export interface Load {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** Answers that were none, or none of 2xx. */
  readonly failed: number;
}

export interface Target {
  readonly port: number;
  readonly scheme: "http" | "https";
  readonly path: string;
  /** Hosts that are asked for by turns. */
  readonly hosts: readonly string[];
}

const CONNECTIONS = 64;

/** Sets Host, and prints what wrk's own report leaves out. */
const SCRIPT = (hosts: readonly string[]): string => `
local hosts = {${hosts.map((host) => `"${host}"`).join(",")}}
local requests = {}
local at = 0
function init(args)
  for i, host in ipairs(hosts) do requests[i] = wrk.format("GET", nil, { ["Host"] = host }) end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format("JSON {\\"perSecond\\":%f,\\"p50\\":%f,\\"p99\\":%f,\\"p999\\":%f,\\"failed\\":%d}\\n",
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    latency:percentile(99.9) / 1000, e.connect + e.read + e.write + e.status + e.timeout))
end
`;

/** Asks over HTTP/1.1 with wrk. @param prefix  What pins the load to its core. */
export async function wrk(prefix: readonly string[], target: Target, seconds: number): Promise<Load> {
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-wrk-"));
  try {
    const script = join(folder, "load.lua");
    writeFileSync(script, SCRIPT(target.hosts));
    const url = `${target.scheme}://127.0.0.1:${target.port}${target.path}`;
    const args = ["wrk", "-t1", `-c${CONNECTIONS}`, `-d${seconds}s`, "-s", script, url];
    const [command = "", ...rest] = [...prefix, ...args];
    const { stdout } = await run(command, rest);
    const line = /^JSON (.*)$/m.exec(stdout)?.[1];
    if (line === undefined) throw new Error(`wrk said nothing of its run:\n${stdout}`);
    return JSON.parse(line) as Load;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Asks over HTTP/2 with h2load, a few streams at a time on each connection. */
export async function h2load(prefix: readonly string[], target: Target, seconds: number): Promise<Load> {
  return overHttp2(prefix, target, seconds, []);
}

/** A message of 100 bytes, as gRPC frames it. */
const GRPC_MESSAGE = Buffer.concat([Buffer.from([0, 0, 0, 0, 100]), Buffer.alloc(100, "m")]);

/** Makes unary calls of gRPC with h2load. */
export async function grpcLoad(prefix: readonly string[], target: Target, seconds: number): Promise<Load> {
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-grpc-"));
  try {
    const file = join(folder, "message");
    writeFileSync(file, GRPC_MESSAGE);
    return await overHttp2(prefix, target, seconds, [
      "-d",
      file,
      "-H",
      "content-type: application/grpc",
      "-H",
      "te: trailers",
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Sends messages over WebSockets. */
export async function webSockets(
  prefix: readonly string[],
  { port, path, hosts }: Target,
  seconds: number,
): Promise<Load> {
  const program = join(import.meta.dirname, "ws-load.ts");
  const args = [`ws://127.0.0.1:${port}${path}`, hosts[0] ?? "", String(CONNECTIONS), String(seconds)];
  const [command = "", ...rest] = [...prefix, process.execPath, program, ...args];
  const { stdout } = await run(command, rest);
  return JSON.parse(stdout) as Load;
}

async function overHttp2(
  prefix: readonly string[],
  { scheme, port, path, hosts: [host = ""] }: Target,
  seconds: number,
  more: readonly string[],
): Promise<Load> {
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-h2load-"));
  try {
    const log = join(folder, "log");
    const url = `${scheme}://127.0.0.1:${port}${path}`;
    const args = [
      "h2load",
      "-c8",
      "-m8",
      "-t1",
      `-D${seconds}`,
      `--log-file=${log}`,
      "-H",
      `:authority: ${host}`,
      ...more,
      url,
    ];
    const [command = "", ...rest] = [...prefix, ...args];
    await run(command, rest, { maxBuffer: 64 * 1024 * 1024 });
    const lines = readFileSync(log, "utf8").trim().split("\n");
    const rows = lines.map((line) => line.split("\t").map(Number));
    const times = rows.map(([, , micros = 0]) => micros / 1000).sort((a, b) => a - b);
    const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? NaN;
    const failed = rows.filter(([, status = 0]) => status < 200 || status > 299).length;
    return { perSecond: times.length / seconds, p50: at(0.5), p99: at(0.99), p999: at(0.999), failed };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
