import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type ClientHttp2Stream, constants } from "node:http2";
import { type Socket, connect } from "node:net";
import { expect, test } from "vitest";
import { headersOf, startRaw } from "../support/backend.ts";
import { send, until } from "../support/data-plane.ts";
import { freePort } from "../support/ports.ts";
import { WEB, cleanups, rigWith } from "../support/gateway-rig.ts";
import { askHttp2, openHttp2, replyOf } from "../support/http2.ts";
import { datagramServiceYaml, routeYaml, serviceYaml } from "../support/objects.ts";

const MIB = 1024 * 1024;

async function open(port: number): Promise<Socket & { isClosed?: boolean }> {
  const socket: Socket & { isClosed?: boolean } = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.on("close", () => (socket.isClosed = true));
  cleanups.push(async () => Promise.resolve(socket.destroy()));
  await once(socket, "connect");
  return socket;
}

test("S21: connections beyond the limit are closed at once, and one that ends makes room", async () => {
  const { rig, web } = await rigWith({ maxConnections: 3 });
  await rig.publish(serviceYaml("web", [web.port]) + routeYaml("r", WEB));
  const held = [await open(rig.port), await open(rig.port), await open(rig.port)];
  await until("all are counted", async () => (await rig.metrics()).includes("serviceroute_connections 3"));
  const refused = await open(rig.port);
  await until("it is closed", () => refused.isClosed === true);
  expect(held.some(({ isClosed }) => isClosed)).toBe(false);
  expect(await rig.metrics()).toContain("serviceroute_connections_rejected_total 1");
  held[0]?.destroy();
  await until("there is room", async () => (await rig.metrics()).includes("serviceroute_connections 2"));
  expect((await rig.ask("/")).body).toBe("web");
});

test("S21: a connection of HTTP/2 brings no more bodies at once than there may be connections", async () => {
  const { rig, web } = await rigWith({ maxConnections: 3 });
  await rig.publish(serviceYaml("web", [web.port]) + routeYaml("r", WEB));
  const session = await openHttp2(`http://127.0.0.1:${rig.port}`);
  cleanups.push(async () => Promise.resolve(session.destroy()));
  const post = (): ClientHttp2Stream =>
    session.request({ ":method": "POST", ":path": "/", ":authority": "a.example.com" }, { endStream: false });
  const held = [post(), post(), post()];
  for (const stream of held) stream.on("error", () => undefined).write("x");
  expect(await replyOf(post())).toMatchObject({ status: 503, body: "Overloaded\n" });
  expect((await askHttp2(session, "/")).status).toBe(200);
  const whole = replyOf(held[0]!);
  held[0]!.end();
  expect((await whole).status).toBe(200);
  held[1]!.close(constants.NGHTTP2_CANCEL);
  await once(held[1]!, "close");
  const upload = async (): Promise<number> => (await askHttp2(session, "/", { method: "POST", body: "x" })).status;
  await until("there is room again", async () => (await Promise.all([upload(), upload()])).join() === "200,200");
});

test("S21: of more UDP clients than the limit the one that was silent for longest makes room", async () => {
  const { rig } = await rigWith({ maxConnections: 3 });
  const port = await freePort();
  const backend = createSocket("udp4").bind(0, "127.0.0.1");
  await once(backend, "listening");
  backend.on("message", (bytes, from) => backend.send(bytes, from.port, from.address));
  const gateway = `---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw}
spec: {gatewayClassName: serviceroute, listeners: [{name: main, port: ${port}, protocol: UDP}]}
`;
  const route = "parentRefs: [{name: gw, sectionName: main}]\nrules: [{backendRefs: [{name: web, port: 80}]}]";
  await rig.publish(datagramServiceYaml("web", [backend.address().port]) + gateway + routeYaml("r", route));
  const clients = Array.from({ length: 6 }, () => createSocket("udp4"));
  for (const client of clients) {
    client.send("hi", port, "127.0.0.1");
    await once(client, "message");
  }
  expect(await rig.metrics()).toContain("serviceroute_udp_sessions 3");
  expect(await rig.metrics()).toContain('serviceroute_udp_sessions_total{outcome="Proxied"} 6');
  clients[5]?.send("again", port, "127.0.0.1");
  await once(clients[5]!, "message");
  expect(await rig.metrics()).toContain('serviceroute_udp_sessions_total{outcome="Proxied"} 6');
  for (const socket of [backend, ...clients]) socket.close();
});

test("a busy event loop answers 503 with a reason, and serves again when it is free", async () => {
  const { rig, web } = await rigWith({ maxEventLoopDelayMs: 50 });
  await rig.publish(serviceYaml("web", [web.port]) + routeYaml("r", WEB));
  let isBusy = true;
  const block = (): void => {
    const until = performance.now() + 150;
    while (performance.now() < until);
    if (isBusy) setTimeout(block, 1);
  };
  block();
  const shed: string[] = [];
  await until(
    "requests are turned away",
    async () => {
      const { status, body, headers } = await rig.ask("/");
      if (status === 503) shed.push(`${body.trim()} ${headers["retry-after"] ?? ""}`);
      return shed.length > 2;
    },
    20_000,
  );
  expect(new Set(shed)).toEqual(new Set(["Overloaded 1"]));
  isBusy = false;
  let inARow = 0;
  await until("all are served", async () => {
    inARow = (await rig.ask("/")).status === 200 ? inARow + 1 : 0;
    return inARow > 20;
  });
});

test("a route that leads back to the gateway ends its loop", async () => {
  const { rig, web } = await rigWith();
  await rig.publish(
    serviceYaml("self", [rig.port]) +
      serviceYaml("web", [web.port]) +
      routeYaml(
        "r",
        "rules: [{matches: [{path: {value: /loop}}], backendRefs: [{name: self, port: 80}]}, {backendRefs: [{name: web, port: 80}]}]",
      ),
  );
  const { status, body } = await rig.ask("/loop");
  expect([status, body.trim()]).toEqual([508, "LoopDetected"]);
  expect((await rig.ask("/", { headers: { "x-serviceroute-hops": "7" } })).status).toBe(200);
  expect(headersOf(web.seen[0] ?? { headers: [] }, "x-serviceroute-hops")).toEqual(["8"]);
});

test("the route of every answer is named where the operator wants it, whatever a backend says", async () => {
  const { rig, web } = await rigWith({ showRoute: true });
  web.answer = (_request, response) => response.writeHead(200, { "x-serviceroute-route": "forged" }).end();
  await rig.publish(
    serviceYaml("web", [web.port]) +
      routeYaml(
        "r",
        "rules: [{name: all, backendRefs: [{name: web, port: 80}], filters: [{type: CORS, cors: {allowOrigins: ['https://a.test']}}]}, {matches: [{path: {value: /bad}}]}]",
      ),
  );
  const preflight = { origin: "https://a.test", "access-control-request-method": "GET" };
  const asked = await rig.ask("/", { method: "OPTIONS", headers: preflight });
  expect([asked.status, asked.headers["x-serviceroute-route"]]).toEqual([204, "default/r/all"]);
  expect((await rig.ask("/")).headers["x-serviceroute-route"]).toBe("default/r/all");
  expect((await rig.ask("/bad")).headers["x-serviceroute-route"]).toBe("default/r/rules[1]");
});

test("F45: headers that trickle in are cut off, a body that stalls and an answer that nobody reads as well", async () => {
  const { rig, web } = await rigWith();
  web.answer = (_request, response) => {
    response.writeHead(200);
    const pour = (): void => {
      while (response.write(Buffer.alloc(65_536)));
      response.once("drain", pour);
    };
    pour();
    response.on("error", () => undefined);
  };
  await rig.publish(
    serviceYaml("web", [web.port]) +
      routeYaml(
        "r",
        "hostnames: [a.example.com]\nrules: [{timeouts: {idle: 500ms}, backendRefs: [{name: web, port: 80}]}]",
      ),
  );
  const trickling = await open(rig.port);
  const drip = setInterval(() => !trickling.destroyed && trickling.write("x"), 200);
  trickling.write("GET / HTTP/1.1\r\nhost: a.example.com\r\nx-slow: ");
  trickling.resume();
  const stalled = await open(rig.port);
  stalled.resume();
  stalled.write("POST / HTTP/1.1\r\nhost: a.example.com\r\ncontent-length: 10\r\n\r\nhal");
  const deaf = await open(rig.port);
  deaf.pause();
  deaf.write("GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n");
  await until("the stalled body ends", () => stalled.isClosed === true, 7000);
  await until("nobody reads", () => web.seen.length > 0);
  await until("the trickling headers end", () => trickling.isClosed === true, 15_000);
  clearInterval(drip);
  deaf.resume();
  await until("the unread answer was cut off", () => deaf.isClosed === true);
  expect((await send(rig.port, "/none", { host: "none.example.com" })).status).toBe(404);
}, 30_000);

test("clients that never read an endless answer cost bounded memory, over HTTP/1.1 and over HTTP/2", async () => {
  const { rig } = await rigWith();
  const block = Buffer.alloc(256 * 1024);
  const endless = await startRaw((socket) => {
    socket.once("data", () => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n");
      const pour = (): void => {
        while (socket.write(block));
        socket.once("drain", pour);
      };
      pour();
    });
  });
  cleanups.push(endless.stop);
  await rig.publish(serviceYaml("web", [endless.port]) + routeYaml("r", WEB));
  const before = process.memoryUsage().rss;
  for (let i = 0; i < 50; i++) {
    const deaf = await open(rig.port);
    deaf.pause();
    deaf.write("GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n");
  }
  const session = await openHttp2(`http://127.0.0.1:${rig.port}`);
  cleanups.push(async () => Promise.resolve(session.destroy()));
  for (let i = 0; i < 50; i++) {
    const stream = session.request([":method", "GET", ":path", "/", ":scheme", "http", ":authority", "a.example.com"]);
    stream.on("error", () => undefined).pause();
  }
  await until("all of them pour", () => endless.sockets() === 100);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect((process.memoryUsage().rss - before) / MIB).toBeLessThan(100);
});
