import { type Socket, connect } from "node:net";
import { expect, test } from "vitest";
import { startRaw } from "../support/backend.ts";
import { until } from "../support/data-plane.ts";
import { WEB, cleanups, rigWith } from "../support/gateway-rig.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

const GET = "GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n";
const UPGRADE = GET.replace("\r\n\r\n", "\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");

const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

const closed = async (socket: Socket): Promise<void> => new Promise((resolve) => socket.once("close", () => resolve()));

/** A gateway before a backend that answers nothing. */
async function beforeSilence() {
  const { rig } = await rigWith();
  const silent = await startRaw((socket) => socket.resume());
  cleanups.push(silent.stop);
  await rig.publish(serviceYaml("web", [silent.port]) + routeYaml("r", WEB));
  const connections = async (): Promise<number> =>
    Number(/^serviceroute_connections (\d+)/m.exec(await rig.metrics())?.[1]);
  return { rig, silent, connections };
}

test("B52: requests that come at once are given to backends one after the other, and not without limit", async () => {
  const { rig, silent, connections } = await beforeSilence();
  const patient = connect(rig.port, "127.0.0.1").on("error", () => undefined);
  cleanups.push(async () => Promise.resolve(patient.destroy()));
  patient.write(GET.repeat(100));
  await until("the first is on its way", () => silent.sockets() === 1);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect([silent.sockets(), await connections()]).toEqual([1, 1]);
  const greedy = connect(rig.port, "127.0.0.1").on("error", () => undefined);
  greedy.write(GET.repeat(1000));
  await closed(greedy);
  await until("its request has ended", () => silent.sockets() === 1);
  expect(await connections()).toBe(1);
});

test("S20: a WebSocket that is asked for before the answer to another request ends nothing", async () => {
  const { rig, web } = await rigWith();
  await rig.publish(serviceYaml("web", [web.port]) + routeYaml("r", WEB));
  let text = "";
  const client = connect(rig.port, "127.0.0.1").on("data", (chunk) => (text += chunk.toString()));
  cleanups.push(async () => Promise.resolve(client.destroy()));
  client.write(GET + GET + UPGRADE);
  await until("all are answered", () => text.split("HTTP/1.1 200").length === 4);
  expect(text.split("web").length).toBe(4);
});

test("S21: a client that asks for a WebSocket and leaves is let go of, whatever it sent before", async () => {
  const { rig, silent, connections } = await beforeSilence();
  for (const early of ["", "x".repeat(1000)]) {
    const client = connect(rig.port, "127.0.0.1", () => client.end(UPGRADE + early));
    client.on("error", () => undefined).resume();
    await closed(client);
  }
  await until("both are let go of", async () => (await connections()) === 0);
  await until("so is the backend", () => silent.sockets() === 0);
});

test("S21: a client that talks on before its WebSocket is accepted is cut off, and loses nothing of what was little", async () => {
  const { rig, silent, connections } = await beforeSilence();
  const client = connect(rig.port, "127.0.0.1").on("error", () => undefined);
  client.write(UPGRADE);
  await until("it is on its way", () => silent.sockets() === 1);
  for (let i = 0; i < 20 && !client.destroyed; i++) client.write(Buffer.alloc(8192));
  await closed(client);
  await until("nobody is left", async () => (await connections()) + silent.sockets() === 0);
  let heard = "";
  const echo = await startRaw((socket) =>
    socket.on("data", (chunk) => {
      heard += chunk.toString();
      if (heard.endsWith("\r\n\r\n")) setTimeout(() => socket.write(SWITCH), 200);
    }),
  );
  cleanups.push(echo.stop);
  await rig.publish(serviceYaml("web", [echo.port]) + routeYaml("r", WEB));
  const eager = connect(rig.port, "127.0.0.1").on("error", () => undefined);
  cleanups.push(async () => Promise.resolve(eager.destroy()));
  eager.write(`${UPGRADE}early`);
  setTimeout(() => eager.write(" and soon"), 50);
  await until("all of it has come", () => heard.endsWith("early and soon"));
});

test("S20: what is left of a request that waits may be none: the answers before it are given, then the connection ends", async () => {
  const { rig, web } = await rigWith();
  await rig.publish(serviceYaml("web", [web.port]) + routeYaml("r", WEB));
  let text = "";
  const client = connect(rig.port, "127.0.0.1").on("data", (chunk) => (text += chunk.toString()));
  client.on("error", () => undefined);
  const ended = closed(client);
  const chunked = GET.replace("GET", "POST").replace("\r\n\r\n", "\r\ntransfer-encoding: chunked\r\n\r\n");
  client.write(`${GET}${chunked}zz\r\n`);
  await until("the first is answered", () => text.endsWith("web"));
  client.write("more");
  await ended;
  expect([text.split("HTTP/1.1").length, web.seen.length]).toEqual([2, 1]);
  expect((await rig.ask("/")).status).toBe(200);
});

test("an answer goes on, however slowly it is read, when a WebSocket is asked for behind it", async () => {
  const { rig, web } = await rigWith();
  const size = 8 * 1024 * 1024;
  web.answer = (_request, response) => response.end(Buffer.alloc(size, "x"));
  await rig.publish(serviceYaml("web", [web.port]) + routeYaml("r", WEB));
  const client = connect(rig.port, "127.0.0.1").on("error", () => undefined);
  cleanups.push(async () => Promise.resolve(client.destroy()));
  client.write(GET + UPGRADE);
  await until("it is on its way", () => web.seen.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 300));
  let bytes = 0;
  client.on("data", (chunk) => (bytes += chunk.length));
  await until("both answers are whole", () => bytes > 2 * size, 15_000);
});
