import { type ChildProcess, spawn } from "node:child_process";
import { type Socket as DatagramSocket, createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { type Socket, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Backend } from "../support/backend.ts";
import { send, until } from "../support/data-plane.ts";
import { freePort } from "../support/ports.ts";
import { GATEWAY, cleanups } from "../support/gateway-rig.ts";
import { datagramServiceYaml, routeYaml, serviceYaml } from "../support/objects.ts";
import { SERVICEROUTE } from "../support/processes.ts";

const MOST = 128;

interface Rig {
  readonly child: ChildProcess;
  readonly port: number;
  readonly udpPort: number;
  readonly serves: () => Promise<boolean>;
}

/** A connection is there for its client as soon as the kernel has it, so only the gateway's own descriptors tell. libuv keeps one aside. */
const hasNoneLeft = async (gateway: ChildProcess): Promise<void> =>
  until("it has no descriptors left", () => readdirSync(`/proc/${gateway.pid}/fd`).length >= MOST - 1);

/** A gateway that may have few descriptors, with an HTTP and a UDP listener. */
async function start(): Promise<Rig> {
  const web = await new Backend("web").start();
  const echo = await bound();
  echo.on("message", (bytes, from) => echo.send(bytes, from.port, from.address));
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-descriptors-"));
  const [port, udpPort] = [await freePort(), await freePort()];
  writeFileSync(
    join(folder, "all.yaml"),
    serviceYaml("web", [web.port]) +
      datagramServiceYaml("echo", [echo.address().port]) +
      routeYaml("r", "rules: [{backendRefs: [{name: web, port: 80}]}]") +
      routeYaml("u", "parentRefs: [{name: gw, sectionName: u}]\nrules: [{backendRefs: [{name: echo, port: 80}]}]") +
      GATEWAY(udpPort, "{name: u, port: PORT, protocol: UDP}"),
  );
  const gateway = [process.execPath, ...SERVICEROUTE, "gateway", folder, "--bind-address", "127.0.0.1"];
  const flags = ["--builtin-gateway", "--http-port", String(port), "--admin-address", "off"];
  const command = [...gateway, ...flags].map((one) => `'${one}'`).join(" ");
  const child = spawn("sh", ["-c", `ulimit -n ${MOST}; exec ${command}`], { stdio: "ignore" });
  cleanups.push(
    async () => web.stop(),
    async () => Promise.resolve(rmSync(folder, { recursive: true })),
    async () => Promise.resolve(void child.kill("SIGKILL")),
  );
  const serves = async (): Promise<boolean> =>
    send(port, "/").then(
      ({ body }) => body === "web",
      () => false,
    );
  await until("it serves", serves);
  return { child, port, udpPort, serves };
}

async function bound(): Promise<DatagramSocket> {
  const socket = createSocket("udp4").bind(0, "127.0.0.1");
  cleanups.push(async () => Promise.resolve(void socket.close()));
  await once(socket, "listening");
  return socket;
}

const flood = (port: number): Socket[] =>
  Array.from({ length: 3 * MOST }, () => connect(port, "127.0.0.1").on("error", () => undefined));

const afterMs = async (ms: number): Promise<string> => new Promise((resolve) => setTimeout(() => resolve("waits"), ms));

test("F51: a gateway without file descriptors left serves whom it has, and everybody when there are some again", async () => {
  const { child, port, serves } = await start();
  const sockets = flood(port);
  const answer = send(port, "/").then(
    ({ body }) => body,
    () => "cut",
  );
  expect(await Promise.race([answer, afterMs(1500)])).not.toBe("web");
  expect(child.exitCode).toBeNull();
  for (const socket of sockets) socket.destroy();
  await until("it serves again", serves);
  for (let i = 0; i < 20; i++) expect(await serves()).toBe(true);
  expect(child.exitCode).toBeNull();
});

test("F51: a UDP client that came when none were left is heard as soon as there are some again", async () => {
  const { child, port, udpPort, serves } = await start();
  const [client, early] = [await bound(), await bound()];
  const ask = async (socket: DatagramSocket): Promise<string> => {
    const heard = once(socket, "message", { signal: AbortSignal.timeout(500) });
    socket.send("hi", udpPort, "127.0.0.1");
    return heard.then(
      ([bytes]: Buffer[]) => bytes?.toString() ?? "",
      () => "nothing",
    );
  };
  expect(await ask(early)).toBe("hi");
  const sockets = flood(port);
  await hasNoneLeft(child);
  expect([await ask(client), await ask(early)]).toEqual(["nothing", "hi"]);
  for (const socket of sockets) socket.destroy();
  await until("it serves again", serves);
  await until("the client is heard", async () => (await ask(client)) === "hi", 3000);
});
