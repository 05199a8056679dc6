import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { type Socket, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as tlsConnect } from "node:tls";
import { describe, expect, test } from "vitest";
import { Backend } from "../support/backend.ts";
import { type Reply, send, until } from "../support/data-plane.ts";
import { freePort } from "../support/ports.ts";
import { GATEWAY, cleanups } from "../support/gateway-rig.ts";
import { type GatewayProcess, runGateway } from "../support/gateway-process.ts";
import { routeYaml, secretYaml, serviceYaml } from "../support/objects.ts";
import { Pki } from "../support/pki.ts";
import { SERVICEROUTE, finish } from "../support/processes.ts";
import { childrenOf } from "../support/descendants.ts";

interface Rig extends GatewayProcess {
  readonly web: Backend;
  readonly folder: string;
  /** Process ids of the workers. */
  workers(): number[];
  metrics(): Promise<string>;
  /** The value of one series; 0 while there is none. */
  metric(name: string): Promise<number>;
  programmed(route: string): Promise<string>;
  /** Names of Gateways. */
  gateways(): Promise<string[]>;
}

const WEB = "rules: [{backendRefs: [{name: web, port: 80}]}]";

async function workersWith(count: number, flags: readonly string[] = [], more = "", spec = WEB): Promise<Rig> {
  const web = await new Backend("web").start();
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-workers-"));
  writeFileSync(join(folder, "all.yaml"), serviceYaml("web", [web.port]) + routeYaml("r", spec) + more);
  const gateway = await runGateway([folder], ["--gateway-workers", String(count), "--reason-header", ...flags]);
  const { program, admin } = gateway;
  cleanups.push(
    async () => web.stop(),
    async () => Promise.resolve(rmSync(folder, { recursive: true })),
    async () => program.stop("SIGTERM"),
  );
  const metrics = async (): Promise<string> => (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
  return {
    ...gateway,
    web,
    folder,
    workers: () => childrenOf(program.child.pid ?? 0),
    metrics,
    metric: async (name) => {
      const line = (await metrics()).split("\n").find((one) => one.startsWith(`${name} `));
      return Number(line?.split(" ")[1] ?? 0);
    },
    gateways: async () => {
      const list = await (await fetch(`http://127.0.0.1:${admin}/v1/gateways`)).json();
      return (list as { items: { metadata: { name: string } }[] }).items.map(({ metadata: { name } }) => name);
    },
    programmed: async (route) => {
      const list = (await (await fetch(`http://127.0.0.1:${admin}/v1/routes`)).json()) as {
        items: {
          metadata: { name: string };
          status?: { parents: { conditions: { type: string; status: string }[] }[] };
        }[];
      };
      const found = list.items.find(({ metadata }) => metadata.name === route);
      const [parent] = found?.status?.parents ?? [];
      return parent?.conditions.find(({ type }) => type === "Programmed")?.status ?? "none";
    },
  };
}

const get = async (port: number, path = "/"): Promise<Reply | undefined> => send(port, path).catch(() => undefined);
const statusOf = async (port: number): Promise<number> => (await get(port))?.status ?? 0;
const REQUESTS = 'serviceroute_http_requests_total{code="2xx"}';

describe("a gateway in worker processes", () => {
  test("F55: a worker that is killed comes back with its table, the other serves meanwhile, and counters never fall", async () => {
    const rig = await workersWith(2);
    const before = rig.workers();
    expect(before).toHaveLength(2);
    for (let i = 0; i < 50; i++) expect(await statusOf(rig.port)).toBe(200);
    expect(await rig.metric(REQUESTS)).toBe(50);
    // No source is left that the table could be read from again.
    writeFileSync(join(rig.folder, "all.yaml"), "{ not: yaml");
    process.kill(before[0] ?? 0, "SIGKILL");
    let failed = 0;
    let served = 50;
    const limit = Date.now() + 1500;
    while (Date.now() < limit) {
      if ((await statusOf(rig.port)) === 200) served++;
      else failed++;
    }
    expect(failed).toBeLessThanOrEqual(1);
    await until("it is back", () => /a gateway worker is back with its table/.test(rig.program.output));
    const after = rig.workers();
    expect([after.length, after.includes(before[0] ?? 0), after.includes(before[1] ?? 0)]).toEqual([2, false, true]);
    expect(await rig.metric(REQUESTS)).toBe(served);
    expect(await rig.metric("serviceroute_worker_restarts_total")).toBe(1);
    expect(/"worker":[12],"downMs":[0-9]+/.test(rig.program.output)).toBe(true);
    for (let i = 0; i < 20; i++) expect(await statusOf(rig.port)).toBe(200);
  });

  test("F55: the only worker is started again whenever it ends, after a second at most", async () => {
    const rig = await workersWith(1);
    for (let i = 0; i < 6; i++) {
      const [worker = 0] = rig.workers();
      process.kill(worker, "SIGKILL");
      await until("another serves", async () => rig.workers()[0] !== worker && (await statusOf(rig.port)) === 200);
    }
    expect(await rig.metric("serviceroute_worker_restarts_total")).toBe(6);
    const waits = [...rig.program.output.matchAll(/"restartInMs":([0-9]+)/g)].map(([, ms]) => Number(ms));
    expect(waits).toEqual([0, 100, 200, 400, 800, 1000]);
  });

  test("F53: a terminal that closes ends neither it nor its workers", async () => {
    const rig = await workersWith(2);
    const before = rig.workers();
    for (const pid of [...before, rig.program.child.pid ?? 0]) process.kill(pid, "SIGHUP");
    await sleep(300);
    expect([rig.workers(), rig.program.running]).toEqual([before, true]);
    expect(await statusOf(rig.port)).toBe(200);
  });

  test("a worker that is stuck is ended, and another takes its place", async () => {
    const rig = await workersWith(1);
    const [stuck = 0] = rig.workers();
    process.kill(stuck, "SIGSTOP");
    await until(
      "another serves",
      async () => !rig.workers().includes(stuck) && (await statusOf(rig.port)) === 200,
      30_000,
    );
    expect(rig.program.output).toContain("shows no sign of life");
  });

  test("a route is Programmed when every worker serves it, and not before", async () => {
    const rig = await workersWith(2);
    const [slow = 0] = rig.workers();
    process.kill(slow, "SIGSTOP");
    writeFileSync(join(rig.folder, "late.yaml"), routeYaml("late", `hostnames: [late.example.com]\n${WEB}`));
    await until("it is known", async () => (await rig.programmed("late")) !== "none");
    await sleep(300);
    expect([await rig.programmed("r"), await rig.programmed("late")]).toEqual(["True", "Unknown"]);
    process.kill(slow, "SIGCONT");
    await until("all serve it", async () => (await rig.programmed("late")) === "True");
  });

  test("F40: traffic waits for nothing that the process that makes the table does", async () => {
    const rig = await workersWith(2);
    process.kill(rig.program.child.pid ?? 0, "SIGSTOP");
    try {
      const asked = await Promise.all(Array.from({ length: 50 }, async () => statusOf(rig.port)));
      expect(asked.filter((status) => status !== 200)).toEqual([]);
    } finally {
      process.kill(rig.program.child.pid ?? 0, "SIGCONT");
    }
  });

  test("F40: a circuit breaker does not wait for that process either", async () => {
    const rig = await workersWith(
      2,
      [],
      "",
      WEB.replace("{backendRefs", "{circuitBreaker: {maxRequests: 1}, backendRefs"),
    );
    let answer = (): void => undefined;
    rig.web.answer = (_request, response) => {
      if (rig.web.seen.length === 1) answer = () => response.end("late");
      else response.end("web");
    };
    const first = statusOf(rig.port);
    await until("it is on its way", () => rig.web.seen.length === 1);
    await until("all know of it", async () => {
      for (let i = 0; i < 10; i++) if ((await statusOf(rig.port)) !== 503) return false;
      return true;
    });
    process.kill(rig.program.child.pid ?? 0, "SIGSTOP");
    try {
      answer();
      expect(await first).toBe(200);
      await sleep(3000);
      // One after the other, so that no two are on their way.
      for (let i = 0; i < 30; i++) expect(await statusOf(rig.port)).toBe(200);
    } finally {
      process.kill(rig.program.child.pid ?? 0, "SIGCONT");
    }
  });

  test("P15, F55: a worker that comes back knows which endpoints are ejected", async () => {
    const bad = await new Backend("bad").start();
    cleanups.push(async () => bad.stop());
    bad.answer = (_request, response) => void response.writeHead(500).end();
    const passive = "healthCheck: {passive: {consecutive5xx: 5, ejectionTime: 10m, maxEjectionPercent: 100}}";
    const rig = await workersWith(2, [], serviceYaml("both", [bad.port]));
    writeFileSync(
      join(rig.folder, "all.yaml"),
      serviceYaml("both", [rig.web.port, bad.port]) +
        routeYaml("r", `rules: [{${passive}, backendRefs: [{name: both, port: 80}]}]`),
    );
    const failuresOf = async (count: number): Promise<number> => {
      let failures = 0;
      for (let i = 0; i < count; i++) if ((await statusOf(rig.port)) !== 200) failures++;
      return failures;
    };
    await until("it is ejected", async () => (await failuresOf(20)) === 0);
    for (const [i, pid] of rig.workers().entries()) {
      process.kill(pid, "SIGKILL");
      await until("it is back", () => rig.program.output.split("is back with its table").length === i + 2);
      expect(rig.workers()).not.toContain(pid);
      // A worker asks when its first request is on its way.
      expect(await failuresOf(100)).toBeLessThanOrEqual(1);
    }
  });

  test("without a single listener it runs as well, and serves as soon as there is one", async () => {
    const folder = mkdtempSync(join(tmpdir(), "serviceroute-workers-"));
    const { program, port } = await runGateway([folder], ["--gateway-workers", "2", "--no-builtin-gateway"]);
    cleanups.push(
      async () => Promise.resolve(rmSync(folder, { recursive: true })),
      async () => program.stop("SIGTERM"),
    );
    writeFileSync(join(folder, "all.yaml"), GATEWAY(port, "{name: http, port: PORT, protocol: HTTP}"));
    await until("it serves", async () => (await statusOf(port)) === 404);
  });

  test("a listener that goes and comes while workers are late is bound all the same, and no worker is in another's way", async () => {
    const port = await freePort();
    const rig = await workersWith(2);
    const file = join(rig.folder, "gw.yaml");
    const gateway = GATEWAY(port, "{name: http, port: PORT, protocol: HTTP}");
    writeFileSync(file, gateway);
    await until("it serves", async () => (await statusOf(port)) === 200);
    for (const pid of rig.workers()) process.kill(pid, "SIGSTOP");
    // The first change is sent at once; the next two are put together.
    writeFileSync(join(rig.folder, "more.yaml"), routeYaml("more", WEB));
    await until("it is known", async () => (await rig.programmed("more")) !== "none");
    rmSync(file);
    await until("it has gone", async () => !(await rig.gateways()).includes("gw"));
    writeFileSync(file, gateway);
    await until("it is there again", async () => (await rig.gateways()).includes("gw"));
    const [one = 0, other = 0] = rig.workers();
    for (const pid of [one, other]) process.kill(pid, "SIGCONT");
    await until("it serves", async () => (await statusOf(port)) === 200);
    process.kill(one, "SIGKILL");
    await until("another has come", () => /a gateway worker is back with its table/.test(rig.program.output));
    process.kill(other, "SIGKILL");
    await until("both have", () => rig.program.output.split("is back with its table").length === 3);
    expect(rig.program.output).not.toContain("is in use");
    for (let i = 0; i < 20; i++) expect(await statusOf(port)).toBe(200);
  });

  test("F52: a UDP port that somebody else has is asked for again and again, and costs no descriptors", async () => {
    const taken = createSocket("udp4").bind(0, "127.0.0.1");
    await once(taken, "listening");
    cleanups.push(async () => Promise.resolve(void taken.close()));
    const rig = await workersWith(2, [], GATEWAY(taken.address().port, "{name: u, port: PORT, protocol: UDP}"));
    const descriptors = (): number => readdirSync(`/proc/${rig.program.child.pid}/fd`).length;
    await until("it is told of", () => rig.program.output.includes("is in use"));
    await sleep(2500);
    const before = descriptors();
    await sleep(5000);
    expect(descriptors()).toBeLessThanOrEqual(before + 1);
  });

  test("TLS sessions that one worker began are resumed by any", async () => {
    const port = await freePort();
    const pki = new Pki(mkdtempSync(join(tmpdir(), "serviceroute-pki-")));
    const { cert, key } = pki.issue("a", "/CN=a", "subjectAltName=DNS:a.example.com");
    const secret = secretYaml("a", readFileSync(cert, "utf8"), readFileSync(key, "utf8"));
    const listener = "{name: a, port: PORT, protocol: HTTPS, tls: {certificateRefs: [{name: a}]}}";
    await workersWith(2, [], secret + GATEWAY(port, listener));
    const first = await tlsSession(port);
    const resumed = await Promise.all(Array.from({ length: 20 }, async () => tlsSession(port, first.session)));
    expect(resumed.filter(({ isReused }) => !isReused)).toEqual([]);
  });

  test("when the process that makes the table is killed, requests in flight end well, and then the workers", async () => {
    const rig = await workersWith(2);
    rig.web.answer = (_request, response) => void setTimeout(() => response.end("slow"), 1000);
    const asked = Array.from({ length: 10 }, async () => statusOf(rig.port));
    await until("all are on their way", () => rig.web.seen.length === 10);
    const workers = rig.workers();
    await rig.program.stop("SIGKILL");
    expect(await Promise.all(asked)).toEqual(Array.from({ length: 10 }, () => 200));
    await until("they have ended", () => workers.every((pid) => !isAlive(pid)), 15_000);
  });

  test("F52: a port that another gateway's workers have is in use, not shared", async () => {
    const rig = await workersWith(2);
    const args = ["gateway", rig.folder, "--bind-address", "127.0.0.1", "--http-port", String(rig.port)];
    const other = await finish(process.execPath, [
      ...SERVICEROUTE,
      ...args,
      "--admin-address",
      `127.0.0.1:${await freePort()}`,
      "--gateway-workers",
      "2",
    ]);
    expect([other.code, other.stderr]).toEqual([
      1,
      `serviceroute: no listener can be served: port ${rig.port} of 127.0.0.1 cannot be bound: is in use; choose other ports with --http-port and --https-port, or in the Gateway\n`,
    ]);
  });

  test("a listener that comes later is bound by all workers, and one that goes is closed by all", async () => {
    const port = await freePort();
    const rig = await workersWith(2);
    const file = join(rig.folder, "gw.yaml");
    writeFileSync(file, GATEWAY(port, "{name: http, port: PORT, protocol: HTTP}"));
    await until("it serves", async () => (await statusOf(port)) === 200);
    rmSync(file);
    await until("it is closed", async () => (await statusOf(port)) === 0);
  });

  test("all workers together have no more connections than --max-connections", async () => {
    const rig = await workersWith(2, ["--max-connections", "100"]);
    const sockets: Socket[] = [];
    cleanups.push(async () => Promise.resolve(sockets.forEach((socket) => socket.destroy())));
    let closed = 0;
    for (let i = 0; i < 140; i++) {
      const socket = connect(rig.port, "127.0.0.1").on("close", () => closed++);
      socket.on("error", () => undefined);
      sockets.push(socket);
      await sleep(5);
    }
    await until("those beyond are closed", () => closed >= 40);
    await sleep(300);
    expect(140 - closed).toBeGreaterThanOrEqual(75);
    expect(await rig.metric("serviceroute_connections")).toBe(140 - closed);
    expect(await rig.metric("serviceroute_connections_rejected_total")).toBe(closed);
  });

  test("B56: lines of the access log stay whole, however long, though several processes write them", async () => {
    const rig = await workersWith(2, ["--access-log"]);
    const headers = { "user-agent": "\u0080".repeat(1500) };
    const path = `/${"p".repeat(3000)}`;
    const asked = 600;
    for (let done = 0; done < asked; done += 100)
      await Promise.all(
        Array.from({ length: 100 }, async () => send(rig.port, path, { headers }).catch(() => undefined)),
      );
    const lines = (): string[] => rig.program.output.split("\n").filter((line) => line.includes('"type":"access"'));
    await until("some are there", () => lines().length > 40);
    await sleep(500);
    // The first may be cut: only the end of what was printed is kept.
    for (const line of lines().slice(1)) {
      expect(Buffer.byteLength(line)).toBeLessThanOrEqual(4096);
      expect(() => JSON.parse(line) as unknown).not.toThrow();
    }
  });

  test("a second signal ends all of it at once", async () => {
    const rig = await workersWith(2, ["--drain-timeout", "60s"]);
    rig.web.answer = () => undefined;
    const asked = statusOf(rig.port);
    await until("it is on its way", () => rig.web.seen.length === 1);
    const workers = rig.workers();
    rig.program.child.kill("SIGTERM");
    await until("it drains", () => rig.program.output.includes("draining"));
    rig.program.child.kill("SIGTERM");
    expect(await asked).toBe(0);
    await until("all have ended", () => !rig.program.running && workers.every((pid) => !isAlive(pid)), 5000);
  });

  test("fewer connections than can be divided are refused", async () => {
    const args = [...SERVICEROUTE, "gateway", ".", "--gateway-workers", "4", "--max-connections", "10"];
    const { code, stderr } = await finish(process.execPath, args);
    expect([code, stderr]).toEqual([2, "serviceroute: --max-connections is for all workers: 4 of them need 32\n"]);
  });

  test("variables for traces that cannot be followed are refused before anything is started", async () => {
    const folder = mkdtempSync(join(tmpdir(), "serviceroute-workers-"));
    const args = [...SERVICEROUTE, "gateway", folder, "--gateway-workers", "2"];
    const env = { OTEL_TRACES_EXPORTER: "otlp", OTEL_EXPORTER_OTLP_PROTOCOL: "smoke" };
    const { code, stderr } = await finish(process.execPath, args, "", env);
    rmSync(folder, { recursive: true });
    expect([code, stderr]).toEqual([2, expect.stringContaining("smoke")]);
  });
});

/** A handshake that begins with this session, if any; without one, the session that comes of it. */
async function tlsSession(port: number, session?: Buffer): Promise<{ session: Buffer; isReused: boolean }> {
  const options = { host: "127.0.0.1", port, servername: "a.example.com", rejectUnauthorized: false };
  const socket = tlsConnect({ ...options, ...(session === undefined ? {} : { session }) });
  const [given = session] = (await once(socket, session === undefined ? "session" : "secureConnect")) as [Buffer?];
  const isReused = socket.isSessionReused();
  socket.destroy();
  return { session: given ?? Buffer.alloc(0), isReused };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
