import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { WebSocketServer } from "ws";
import { cleanups } from "../support/gateway-rig.ts";
import { runGateway } from "../support/gateway-process.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";
import { STABLE, SoakLoad, passing } from "../support/soak-load.ts";

const FULL = process.env["SERVICEROUTE_TEST_SIZE"] === "full";
const MINUTES = FULL ? 60 : 0.4;
const SAMPLE_MS = FULL ? 30_000 : 3000;
/** After the last request, before a sample: longer than the gateway keeps a connection to a backend that nobody uses. */
const QUIET_MS = 5000;
const CHURN_MS = 50;
/** Hosts that are there at a time of those that come and go. */
const PASSING = 30;

const COLLECT = join(import.meta.dirname, "../support/collect-garbage.ts");

async function backend(): Promise<Server> {
  const large = Buffer.alloc(1_000_000, "x");
  const server = createServer((incoming, response) => {
    incoming.resume().on("end", () => response.end(incoming.url?.startsWith("/large") === true ? large : "web"));
  });
  new WebSocketServer({ server }).on("connection", (socket) =>
    socket.on("message", (data, binary) => socket.send(data, { binary })),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

interface Sample {
  readonly minute: number;
  readonly heapMb: number;
  readonly rssMb: number;
  readonly fds: number;
  readonly handles: number;
  readonly series: number;
  readonly lostLines: number;
}

/** Growth of a straight line through all points, as a share of their mean, from the first to the last. */
function growth(values: readonly number[]): number {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const middle = (n - 1) / 2;
  const slope =
    values.reduce((sum, value, i) => sum + (i - middle) * (value - mean), 0) /
    values.reduce((sum, _, i) => sum + (i - middle) ** 2, 0);
  return (slope * (n - 1)) / mean;
}

test(
  "P12, F43: under churn nothing grows, and no answer is another than it should be",
  { timeout: (MINUTES + 2) * 60_000 },
  async () => {
    const servers = [await backend(), await backend()];
    const ports = servers.map((server) => (server.address() as AddressInfo).port);
    const folder = mkdtempSync(join(tmpdir(), "serviceroute-soak-"));
    const put = (name: string, yaml: string): void => {
      writeFileSync(join(folder, `.${name}`), yaml);
      renameSync(join(folder, `.${name}`), join(folder, `${name}.yaml`));
    };
    const stable = (weight: number): string =>
      routeYaml(
        "stable",
        `hostnames: [${STABLE}]\nrules: [{backendRefs: [{name: web, port: 80, weight: ${weight}}, {name: other, port: 80, weight: 5}]}]`,
      );
    put("services", serviceYaml("web", ports) + serviceYaml("other", ports));
    put("stable", stable(5));
    const { program, port, admin } = await runGateway([folder], ["--http2", "on", "--access-log"], {}, [
      "--expose-gc",
      "--import",
      COLLECT,
    ]);
    cleanups.push(
      async () => Promise.resolve(rmSync(folder, { recursive: true })),
      async () => Promise.resolve(servers.forEach((server) => (server.closeAllConnections(), server.close()))),
      async () => program.stop("SIGTERM"),
    );

    const sample = async (minute: number): Promise<Sample> => {
      program.child.kill("SIGUSR2");
      await sleep(200);
      const text = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
      const value = (name: string): number => Number(new RegExp(`^${name} (.*)$`, "m").exec(text)?.[1]);
      const mb = (name: string): number => Math.round(value(name) / 1e5) / 10;
      return {
        minute: Math.round(minute * 10) / 10,
        heapMb: mb("nodejs_heap_size_used_bytes"),
        rssMb: mb("process_resident_memory_bytes"),
        fds: value("process_open_fds"),
        handles: value("nodejs_active_handles_total"),
        series: text.split("\n").filter((line) => line.startsWith("serviceroute_")).length,
        lostLines: value("serviceroute_log_lines_dropped_total"),
      };
    };

    const idle = await sample(0);
    let newest = 0;
    const load = new SoakLoad(port, () => newest);
    const running = load.run(2);
    const started = performance.now();
    const minutes = (): number => (performance.now() - started) / 60_000;
    const samples: Sample[] = [];
    let sampledAt = started;
    while (minutes() < MINUTES) {
      newest++;
      put(
        `passing-${newest}`,
        routeYaml(`p${newest}`, `hostnames: [${passing(newest)}]\nrules: [{backendRefs: [{name: web, port: 80}]}]`),
      );
      rmSync(join(folder, `passing-${newest - PASSING}.yaml`), { force: true });
      if (newest % 3 === 0) put("stable", stable(newest % 10));
      if (newest % 7 === 0)
        put("services", serviceYaml("web", newest % 2 === 0 ? ports : ports.slice(1)) + serviceYaml("other", ports));
      await sleep(CHURN_MS);
      if (performance.now() - sampledAt < SAMPLE_MS) continue;
      await load.rest();
      await sleep(QUIET_MS);
      samples.push(await sample(minutes()));
      load.wake();
      sampledAt = performance.now();
    }
    load.stop();
    await running;
    const half = samples.slice(Math.floor(samples.length / 2));
    const of = (name: keyof Sample): number => growth(half.map((one) => one[name]));
    const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
    console.log(
      `# soak: ${load.sent} requests in ${MINUTES} minutes, ${[...load.unexpected.values()].reduce((a, b) => a + b, 0)} unexpected; ${newest} routes came and went`,
      Object.fromEntries(load.outcomes),
    );
    console.log(
      `# soak: growth over the last half: heap ${percent(of("heapMb"))}, resident ${percent(of("rssMb"))}, descriptors ${percent(of("fds"))}, handles ${percent(of("handles"))}`,
      { idle, first: samples[0], last: samples.at(-1) },
    );
    expect(Object.fromEntries(load.unexpected)).toEqual({});
    // Requests that outlive their route bring none of its series back.
    expect(samples.at(-1)?.series).toBeLessThan(600);
    expect(samples.at(-1)?.lostLines).toBe(0);
    if (FULL) {
      expect(of("heapMb")).toBeLessThan(0.01);
      expect(of("handles")).toBeLessThan(0.02);
      expect(of("fds")).toBeLessThan(0.02);
    }
    // What nobody uses any more is let go of: in every quiet moment it holds what it held before the first request.
    for (const { fds, handles } of samples) {
      expect(fds).toBeLessThanOrEqual(idle.fds + 2);
      expect(handles).toBeLessThanOrEqual(idle.handles + 2);
    }
  },
);
