import { once } from "node:events";
import { Agent, request } from "node:http";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { Backend } from "../support/backend.ts";
import { until } from "../support/data-plane.ts";
import { freePort } from "../support/ports.ts";
import { GATEWAY, cleanups } from "../support/gateway-rig.ts";
import { type GatewayProcess, runGateway } from "../support/gateway-process.ts";
import { askHttp2, openHttp2 } from "../support/http2.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

const SLOW_MS = 1500;

async function gatewayWith(
  flags: readonly string[],
  more = "",
): Promise<{ gateway: GatewayProcess; web: Backend; forget: () => void }> {
  const web = await new Backend("web").start();
  web.answer = ({ url }, response) => void setTimeout(() => response.end(url), url.startsWith("/slow") ? SLOW_MS : 0);
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-drain-"));
  writeFileSync(
    join(folder, "all.yaml"),
    serviceYaml("web", [web.port]) + routeYaml("r", "rules: [{backendRefs: [{name: web, port: 80}]}]"),
  );
  writeFileSync(join(folder, "more.yaml"), more);
  const gateway = await runGateway([folder], ["--http2", "on", ...flags]);
  cleanups.push(
    async () => web.stop(),
    async () => Promise.resolve(rmSync(folder, { recursive: true })),
    async () => gateway.program.stop("SIGKILL"),
  );
  return { gateway, web, forget: () => rmSync(join(folder, "more.yaml")) };
}

async function ask(port: number, path: string, agent: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: "127.0.0.1", port, path, agent, headers: { host: "a.example.com" } },
      (incoming) => {
        let body = "";
        incoming.on("data", (chunk: Buffer) => (body += chunk.toString()));
        incoming.on("end", () => resolve(`${incoming.statusCode ?? 0} ${body}`));
        incoming.on("error", reject);
      },
    );
    outgoing.on("error", reject);
    outgoing.end();
  });
}

test.for([
  ["one process", "0"],
  ["workers", "2"],
] as const)(
  "P9: SIGTERM to %s with 200 slow requests, kept connections, HTTP/2 and WebSockets in flight fails none of them",
  { timeout: 40_000 },
  async ([, workers]) => {
    const { gateway, web } = await gatewayWith(["--drain-timeout", "20s", "--gateway-workers", workers]);
    const { port, admin, program } = gateway;
    const sockets = new WebSocketServer({ server: web.server });
    sockets.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
    const chat = new WebSocket(`ws://127.0.0.1:${port}/chat`, { headers: { host: "a.example.com" } });
    await once(chat, "open");
    const kept = new Agent({ keepAlive: true, maxSockets: 20 });
    await Promise.all(Array.from({ length: 20 }, async () => ask(port, "/warm", kept)));
    const sessions = await Promise.all(Array.from({ length: 4 }, async () => openHttp2(`http://127.0.0.1:${port}`)));

    const slow = Array.from({ length: 100 }, async (_, i) => ask(port, `/slow${i}`, new Agent()));
    const slowTwo = Array.from({ length: 100 }, async (_, i) => {
      const [session] = sessions.slice(i % sessions.length);
      if (session === undefined) throw new Error("no session");
      const { status, body, code } = await askHttp2(session, `/slow${i}`);
      return `${status} ${body}${code === 0 ? "" : " reset"}`;
    });
    await until("all are on their way", () => web.seen.filter(({ url }) => url.startsWith("/slow")).length === 200);
    const stopped = Date.now();
    const readiness = async (): Promise<number> =>
      (await fetch(`http://127.0.0.1:${admin}/readyz`).catch(() => undefined))?.status ?? 0;
    program.child.kill("SIGTERM");
    await until("readiness says so first", async () => (await readiness()) !== 200, 1000);
    // A client that has not heard of it asks again on the connection that it has; one of HTTP/2 has been told.
    const late = await Promise.all(Array.from({ length: 20 }, async () => ask(port, "/late", kept)));
    expect(new Set(late)).toEqual(new Set(["200 /late"]));
    expect(sessions.every((session) => session.closed)).toBe(true);
    const expected = Array.from({ length: 100 }, (_, i) => `200 /slow${i}`);
    expect(await Promise.all(slow)).toEqual(expected);
    expect(await Promise.all(slowTwo)).toEqual(expected);
    chat.send("still here");
    const [message] = (await once(chat, "message")) as [Buffer];
    expect(message.toString()).toBe("still here");
    chat.close();
    kept.destroy();
    expect(await program.exited).toBe(0);
    expect(Date.now() - stopped).toBeLessThan(20_000);
    sockets.close();
  },
);

test("S20: streams that break off, on either side, never end the process", async () => {
  const { gateway, web } = await gatewayWith([]);
  web.answer = (_request, response) => {
    response.writeHead(200).write("hal");
    setTimeout(() => response.destroy(), 20);
  };
  const session = await openHttp2(`http://127.0.0.1:${gateway.port}`);
  expect((await askHttp2(session, "/breaks")).code).not.toBe(0);
  const gone = session.request([":method", "GET", ":path", "/", ":scheme", "http", ":authority", "a.example.com"]);
  gone.on("error", () => undefined);
  gone.close(1);
  session.destroy();
  web.answer = (_request, response) => response.end("web");
  expect(await ask(gateway.port, "/", new Agent())).toBe("200 web");
  expect(gateway.program.running).toBe(true);
});

test("P9: requests of a listener that is gone are waited for, too", async () => {
  const port = await freePort();
  const listener = GATEWAY(port, "{name: main, port: PORT, protocol: HTTP}");
  const { gateway, web, forget } = await gatewayWith([], listener);
  const slow = ask(port, "/slow", new Agent()).catch(() => "cut");
  await until("it is there", () => web.seen.length === 1);
  forget();
  const isRefused = async (): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.destroy();
        resolve(false);
      });
      socket.on("error", () => resolve(true));
    });
  await until("the listener is gone", isRefused);
  gateway.program.child.kill("SIGTERM");
  expect([await gateway.program.exited, await slow]).toEqual([0, "200 /slow"]);
});

test("P9: what is still open at the limit is cut, and the process ends", async () => {
  const { gateway, web } = await gatewayWith(["--drain-timeout", "1s"]);
  web.answer = () => undefined;
  const session = await openHttp2(`http://127.0.0.1:${gateway.port}`);
  const never = askHttp2(session, "/never");
  const other = ask(gateway.port, "/never", new Agent()).catch(() => "cut");
  await until("both are there", () => web.seen.length === 2);
  gateway.program.child.kill("SIGTERM");
  expect(await gateway.program.exited).toBe(0);
  expect([(await never).status, await other]).toEqual([0, "cut"]);
});
