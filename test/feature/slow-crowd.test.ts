import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type Socket, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Backend } from "../support/backend.ts";
import { send } from "../support/data-plane.ts";
import { WEB, cleanups } from "../support/gateway-rig.ts";
import { runGateway } from "../support/gateway-process.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

const CROWD = 2000;
const NEW_CLIENTS = 200;
const HEAD = "POST / HTTP/1.1\r\nhost: a.example.com\r\n";
/** How a client begins, and what it sends from then on, now and then. */
const SLOW: readonly (readonly [string, string])[] = [
  [`${HEAD}x-slow: `, "x"],
  [`${HEAD}content-length: 100000\r\n\r\n`, "x"],
  [`${HEAD}transfer-encoding: chunked\r\n\r\n1;x=`, "x"],
  [`${HEAD}transfer-encoding: chunked\r\n\r\n`, "1\r\nx\r\n"],
];

async function gatewayBefore(web: Backend): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-crowd-"));
  writeFileSync(join(folder, "all.yaml"), serviceYaml("web", [web.port]) + routeYaml("r", WEB));
  const { program, port } = await runGateway([folder]);
  cleanups.push(
    async () => Promise.resolve(rmSync(folder, { recursive: true })),
    async () => program.stop("SIGKILL"),
  );
  return port;
}

/** The 99th percentile of what new clients waited for their answers, in milliseconds. */
async function waited(port: number): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < NEW_CLIENTS; i++) {
    const started = performance.now();
    expect((await send(port, "/")).status).toBe(200);
    times.push(performance.now() - started);
  }
  return times.sort((a, b) => a - b)[Math.floor(0.99 * times.length)] ?? Infinity;
}

async function crowd(port: number): Promise<Socket[]> {
  const sockets = Array.from({ length: CROWD }, () => connect(port, "127.0.0.1").on("error", () => undefined));
  await Promise.all(sockets.map(async (socket) => once(socket, "connect")));
  for (const [i, socket] of sockets.entries()) socket.resume().write(SLOW[i % SLOW.length]?.[0] ?? "");
  return sockets;
}

test(`S21: while ${CROWD} clients drip, new ones are served as if nobody else were there`, async () => {
  const web = await new Backend("web").start();
  cleanups.push(async () => web.stop());
  const port = await gatewayBefore(web);
  await waited(port);
  const alone = await waited(port);
  const sockets = await crowd(port);
  const drip = setInterval(() => {
    for (const [i, socket] of sockets.entries()) if (!socket.destroyed) socket.write(SLOW[i % SLOW.length]?.[1] ?? "");
  }, 500);
  const among = await waited(port);
  clearInterval(drip);
  for (const socket of sockets) socket.destroy();
  console.log(
    `# S21: 99 of 100 new clients waited ${alone.toFixed(1)} ms at most alone, ${among.toFixed(1)} ms in the crowd`,
  );
  expect(among).toBeLessThan(Math.max(100, 5 * alone));
}, 60_000);
