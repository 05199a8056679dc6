import { once } from "node:events";
import { readFileSync, mkdtempSync, rmSync } from "node:fs";
import { type Socket, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { clientHello } from "../support/client-hello.ts";
import { until } from "../support/data-plane.ts";
import { freePort } from "../support/ports.ts";
import { GATEWAY, WEB, cleanups, rigWith } from "../support/gateway-rig.ts";
import { routeYaml, secretYaml, serviceYaml } from "../support/objects.ts";
import { Pki } from "../support/pki.ts";

const folder = mkdtempSync(join(tmpdir(), "serviceroute-slow-"));
const pki = new Pki(folder);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A client that never closes its side by itself, whatever it is told. */
async function stubborn(port: number, bytes: Buffer | string): Promise<{ socket: Socket; heard: () => string }> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  let heard = "";
  socket.on("data", (chunk) => (heard += chunk.toString("latin1")));
  socket.on("error", () => undefined);
  cleanups.push(async () => Promise.resolve(socket.destroy()));
  await once(socket, "connect");
  socket.write(bytes);
  return { socket, heard: () => heard };
}

const open = async ({ metrics }: { metrics: () => Promise<string> }): Promise<number> =>
  Number(/^serviceroute_connections (\d+)/m.exec(await metrics())?.[1]);

test("S21, F45: who never finishes a TLS handshake loses the place, silent or in the middle of it", async () => {
  const { rig, web } = await rigWith();
  const port = await freePort();
  const { cert, key } = pki.issue("a", "/CN=a", "subjectAltName=DNS:a.example.com");
  await rig.publish(
    secretYaml("a", readFileSync(cert, "utf8"), readFileSync(key, "utf8")) +
      serviceYaml("web", [web.port]) +
      GATEWAY(port, "{name: a, port: PORT, protocol: HTTPS, tls: {certificateRefs: [{name: a}]}}") +
      routeYaml("r", WEB),
  );
  const hello = clientHello(Buffer.from("a.example.com"));
  await stubborn(port, "");
  await stubborn(port, hello.subarray(0, hello.length / 2));
  await stubborn(port, hello);
  await until("all are counted", async () => (await open(rig)) === 3);
  await sleep(5000);
  expect(await open(rig)).toBe(3);
  await until("their time is over", async () => (await open(rig)) === 0, 8000);
});

test("S21, F45: a client that does not close what the gateway has ended loses its place", async () => {
  const { rig, web } = await rigWith();
  await rig.publish(serviceYaml("web", [web.port]) + routeYaml("r", WEB));
  const HOST = "host: a.example.com\r\n";
  const clients = {
    "405": await stubborn(rig.port, `CONNECT a.example.com:443 HTTP/1.1\r\n${HOST}\r\n`),
    "400": await stubborn(rig.port, "no request\r\n\r\n"),
    "431": await stubborn(rig.port, `GET / HTTP/1.1\r\n${HOST}x: ${"x".repeat(17_000)}\r\n\r\n`),
    "200": await stubborn(rig.port, `GET / HTTP/1.1\r\n${HOST}connection: close\r\n\r\n`),
  };
  await until("all are answered", () => Object.values(clients).every(({ heard }) => heard() !== ""));
  for (const [status, { heard }] of Object.entries(clients))
    expect(heard()).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  await until("all have lost their places", async () => (await open(rig)) === 0, 8000);
});

test("F45: headers that trickle in are 408, and a client that has said nothing is told nothing", async () => {
  const { rig, web } = await rigWith({ http2: false });
  await rig.publish(serviceYaml("web", [web.port]) + routeYaml("r", WEB));
  const silent = await stubborn(rig.port, "");
  const slow = await stubborn(rig.port, "GET / HTTP/1.1\r\nhost: a.example");
  const trickle = setInterval(() => slow.socket.write("."), 1000);
  cleanups.push(async () => Promise.resolve(clearInterval(trickle)));
  await until("the slow one is answered", () => slow.heard() !== "", 15_000);
  expect(slow.heard()).toMatch(/^HTTP\/1.1 408 .*x-serviceroute-reason: BadRequest/s);
  await until("both have lost their places", async () => (await open(rig)) === 0, 8000);
  expect(silent.heard()).toBe("");
  expect(await rig.metrics()).toContain('serviceroute_gateway_answers_total{reason="BadRequest"} 1');
});

test("F45: the body of a preflight is read for a few seconds, as with every answer of the gateway", async () => {
  const { rig, web } = await rigWith();
  const cors = "filters: [{type: CORS, cors: {allowOrigins: ['https://a.test']}}]";
  await rig.publish(
    serviceYaml("web", [web.port]) + routeYaml("r", WEB.replace("{backendRefs", `{${cors}, backendRefs`)),
  );
  const head =
    "OPTIONS / HTTP/1.1\r\nhost: a.example.com\r\norigin: https://a.test\r\naccess-control-request-method: GET\r\n";
  const client = await stubborn(rig.port, `${head}content-length: 100000000\r\n\r\n`);
  const sending = setInterval(() => client.socket.write("x"), 200);
  cleanups.push(async () => Promise.resolve(clearInterval(sending)));
  await until("it is answered", () => client.heard().startsWith("HTTP/1.1 204 "));
  await until("it has lost its place", async () => (await open(rig)) === 0, 12_000);
});
