/** The gateways that are measured, each started on the same core: who is not asked costs nothing. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "node:net";
import { envoyBinary } from "../envoy.ts";
import { type Backends, certificateIn, writeCaddyfile, writeEnvoyConfig, writeManifests } from "./setup.ts";

const ROOT = join(import.meta.dirname, "../..");
const GATEWAY_CORE = ["taskset", "-c", "0"];
export const LOAD_CORE = ["taskset", "-c", "1"];
const HERE = "hack/bench-gateway";
const READY_MS = 20_000;

/** One that is measured. */
export interface Gateway {
  readonly name: string;
  readonly http: number;
  readonly https?: number;
  /** Whether clients may speak HTTP/2, and with it gRPC. */
  readonly http2: boolean;
  /** Whether it knows the many hosts and routes, or sends everything to one place. */
  readonly routes: boolean;
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);

export class Peers {
  readonly #children: ChildProcess[] = [];
  readonly #folder: string;

  /** @param folder  For what they are told. */
  constructor(folder: string) {
    this.#folder = folder;
    process.once("exit", () => this.stop());
  }

  stop(): void {
    for (const child of this.#children.splice(0)) child.removeAllListeners("exit").kill("SIGKILL");
  }

  /** Ours comes first. */
  async start(): Promise<readonly Gateway[]> {
    const text = await this.#node(LOAD_CORE, [`${HERE}/backend.ts`], /\d+ \d+ ready/);
    const [http = 0, grpc = 0] = text.split(" ").map(Number);
    const backends = { http, grpc };
    return [
      await this.#ours(backends),
      await this.#bare(http),
      await this.#fastify(http),
      ...(await this.#others(backends)),
    ];
  }

  async #ours(backends: Backends): Promise<Gateway> {
    const [http, https] = [18_480, 18_443];
    const { cert, key } = certificateIn(this.#folder);
    const manifests = join(this.#folder, "all.yaml");
    writeManifests(manifests, backends);
    const ports = ["--bind-address", "127.0.0.1", "--http-port", String(http), "--https-port", String(https)];
    const flags = [...ports, "--tls-cert-file", cert, "--tls-key-file", key, "--admin-address", "off", "--http2", "on"];
    await this.#node(GATEWAY_CORE, ["dist/main.js", "gateway", manifests, ...flags], /"msg":"serving"/);
    return { name: "ServiceRoute", http, https, http2: true, routes: true };
  }

  async #bare(backend: number): Promise<Gateway> {
    const [http, https] = [18_481, 18_444];
    const program = [`${HERE}/bare-proxy.ts`, String(backend)];
    await this.#node(GATEWAY_CORE, [...program, String(http)], /ready/);
    const tls = [join(this.#folder, "tls.crt"), join(this.#folder, "tls.key")];
    await this.#node(GATEWAY_CORE, [...program, String(https), ...tls], /ready/);
    return { name: "bare node:http proxy", http, https, http2: false, routes: false };
  }

  async #fastify(backend: number): Promise<Gateway> {
    const http = 18_482;
    const args = ["ci", "--ignore-scripts", "--no-fund", "--no-audit", "--silent"];
    execFileSync("npm", args, { cwd: join(import.meta.dirname, "peers"), stdio: ["ignore", "ignore", "inherit"] });
    await this.#node(GATEWAY_CORE, [`${HERE}/fastify-proxy.ts`, String(backend), String(http)], /ready/);
    return { name: "@fastify/http-proxy", http, http2: false, routes: false };
  }

  async #others(backends: Backends): Promise<Gateway[]> {
    const certificate = { cert: join(this.#folder, "tls.crt"), key: join(this.#folder, "tls.key") };
    const envoy = { name: "Envoy", http: 18_483, https: 18_445, http2: true, routes: true };
    const file = join(this.#folder, "envoy.json");
    writeEnvoyConfig(file, envoy, backends, certificate);
    const quiet = ["--log-level", "error", "--disable-hot-restart"];
    this.#spawn([...GATEWAY_CORE, envoyBinary(say), "-c", file, "--concurrency", "1", ...quiet]);
    await listening(envoy.http);
    if (!has("caddy")) {
      say("caddy is not here (apt install caddy): left out");
      return [envoy];
    }
    const caddy = { name: "Caddy", http: 18_484, https: 18_446, http2: true, routes: false };
    const caddyfile = join(this.#folder, "Caddyfile");
    writeCaddyfile(caddyfile, caddy, backends, certificate);
    const command = [...GATEWAY_CORE, "caddy", "run", "--config", caddyfile, "--adapter", "caddyfile"];
    // It logs everything that it does.
    this.#spawn(command, { GOMAXPROCS: "1" }, "ignore");
    await listening(caddy.http);
    return [envoy, caddy];
  }

  /** @returns Where its output goes: a file, which takes nobody's time to read while something is measured. */
  #spawn(
    [command = "", ...args]: readonly string[],
    env: Readonly<Record<string, string>> = {},
    errors: "inherit" | "ignore" = "inherit",
  ): string {
    const output = join(this.#folder, `${this.#children.length}.log`);
    const options = { cwd: ROOT, env: { ...process.env, ...env } };
    const child = spawn(command, args, { ...options, stdio: ["ignore", openSync(output, "w"), errors] });
    child.once("exit", (code) => {
      throw new Error(`${command} ${args.join(" ")} ended with ${code ?? "a signal"}`);
    });
    this.#children.push(child);
    return output;
  }

  /** @returns What matches in its output. */
  async #node(core: readonly string[], args: readonly string[], says: RegExp): Promise<string> {
    const output = this.#spawn([...core, process.execPath, ...args]);
    return eventually(`${args.join(" ")} to be ready`, () => says.exec(readFileSync(output, "utf8"))?.[0]);
  }
}

export function has(tool: string): boolean {
  try {
    execFileSync("sh", ["-c", `command -v ${tool}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

async function eventually<T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const limit = performance.now() + READY_MS;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > limit) throw new Error(`waited ${READY_MS / 1000} s for ${what}`);
    await sleep(50);
  }
}

async function listening(port: number): Promise<void> {
  const isOpen = async (): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
      socket.once("connect", () => socket.destroy());
    });
  await eventually(`port ${port} to be listened on`, async () => ((await isOpen()) ? true : undefined));
}
