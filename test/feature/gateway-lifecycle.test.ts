import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import { startRaw } from "../support/backend.ts";
import { until } from "../support/data-plane.ts";
import { freePort } from "../support/ports.ts";
import { GATEWAY, WEB, cleanups, rigWith } from "../support/gateway-rig.ts";
import { startLoad } from "../support/load.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

describe("draining", () => {
  test("requests in flight end, idle and silent connections do not hold it up", async () => {
    const { rig, web } = await rigWith();
    web.answer = (_request, response) => setTimeout(() => response.end("slow"), 700);
    await rig.publish(serviceYaml("web", [web.port]) + routeYaml("r", WEB));
    const silent = connect(rig.port, "127.0.0.1");
    await new Promise((resolve) => silent.once("connect", resolve));
    const replies = Array.from({ length: 20 }, async () => rig.ask("/"));
    await until("all are in flight", () => web.seen.length === 20);
    const started = Date.now();
    await rig.engine.gateway.drain(10_000);
    expect((await Promise.all(replies)).map(({ body }) => body)).toEqual(Array.from({ length: 20 }, () => "slow"));
    expect(Date.now() - started).toBeLessThan(3000);
  });

  test("a kept connection is told to close with its next answer, and loses no request", async () => {
    const { rig, web } = await rigWith();
    await rig.publish(serviceYaml("web", [web.port]) + routeYaml("r", WEB));
    const load = startLoad({ address: "127.0.0.1", port: rig.port, host: "a.example.com" }, 1);
    await until("it runs", () => load.sent() > 50);
    let received = "";
    const kept = connect(rig.port, "127.0.0.1", () => kept.write("GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n"));
    kept.on("data", (chunk) => (received += chunk.toString()));
    await until("answered", () => received.includes("web"));
    await load.stop();
    const drained = rig.engine.gateway.drain(10_000);
    await new Promise((resolve) => setTimeout(resolve, 100));
    received = "";
    kept.write("GET /again HTTP/1.1\r\nhost: a.example.com\r\n\r\n");
    await until("answered again", () => received.includes("web"));
    expect(received.toLowerCase()).toContain("connection: close");
    await drained;
  });

  test("a mirror that never answers does not hold it up", async () => {
    const { rig, web } = await rigWith();
    const hanging = await startRaw(() => undefined);
    cleanups.push(hanging.stop);
    await rig.publish(
      serviceYaml("web", [web.port]) +
        serviceYaml("shadow", [hanging.port]) +
        routeYaml(
          "r",
          "rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 80}}}], backendRefs: [{name: web, port: 80}]}]",
        ),
    );
    await rig.ask("/");
    const started = Date.now();
    await rig.engine.gateway.drain(10_000);
    expect(Date.now() - started).toBeLessThan(3000);
  });
});

describe("a change never touches open connections", () => {
  test("a WebSocket-like tunnel outlives edits of its route", async () => {
    const { rig } = await rigWith();
    const raw = await startRaw((socket) => {
      socket.once("data", () =>
        socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"),
      );
      socket.on("data", (chunk) => chunk.toString().startsWith("ping") && socket.write("pong"));
    });
    cleanups.push(raw.stop);
    await rig.publish(serviceYaml("web", [raw.port]) + routeYaml("r", WEB));
    let received = "";
    const client = connect(rig.port, "127.0.0.1", () =>
      client.write("GET / HTTP/1.1\r\nhost: a.example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"),
    );
    client.on("data", (chunk) => (received += chunk.toString()));
    await until("101", () => received.includes("101 Switching"));
    for (let i = 0; i < 10; i++)
      await rig.publish(
        serviceYaml("web", i % 2 === 0 ? [] : [raw.port]) + routeYaml("r", `hostnames: [h${i}.example.com]\n${WEB}`),
      );
    client.write("ping");
    await until("pong", () => received.endsWith("pong"));
    client.destroy();
  });
});

describe("listeners", () => {
  test("F52: a port that is taken is said so, on its listener alone, and taken when it becomes free", async () => {
    const { rig } = await rigWith();
    const taken = await startRaw(() => undefined);
    const free = await freePort();
    const gateway = `---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec: {gatewayClassName: serviceroute, listeners: [{name: taken, port: ${taken.port}, protocol: HTTP}, {name: free, port: ${free}, protocol: HTTP}]}\n`;
    const published = rig.publish(gateway);
    const status = () => rig.engine.controller.gatewayStatuses.get(keyOf("Gateway", "default", "gw"));
    const of = (listener: string, type: string) =>
      status()
        ?.listeners.find(({ name }) => name === listener)
        ?.conditions.find((c) => c.type === type);
    await until("told", () => of("taken", "Accepted")?.reason === "PortUnavailable");
    await until("the other is up", () => of("free", "Programmed")?.status === "True");
    expect(status()?.conditions.find((c) => c.type === "Programmed")?.status).toBe("False");
    await taken.stop();
    await published;
    await until("bound", () => of("taken", "Programmed")?.status === "True");
  });

  test("B47: listeners that cannot be told apart are conflicted, others serve", async () => {
    const { rig } = await rigWith();
    const port = await freePort();
    await rig.publish(
      GATEWAY(
        port,
        "{name: a, port: PORT, protocol: HTTP}, {name: b, port: PORT, protocol: HTTP}, {name: c, port: PORT, protocol: HTTP, hostname: c.example.com}",
      ),
    );
    const listeners = rig.engine.controller.gatewayStatuses.get(keyOf("Gateway", "default", "gw"))?.listeners ?? [];
    expect(
      listeners
        .map(({ conditions }) => conditions.find((c) => c.type === "Conflicted"))
        .map((c) => `${c?.status ?? ""}/${c?.reason ?? ""}`),
    ).toEqual(["True/HostnameConflict", "True/HostnameConflict", "False/NoConflicts"]);
    expect([...rig.engine.translator.table.listeners.keys()].filter((id) => id.startsWith("default/"))).toEqual([
      "default/gw/c",
    ]);
  });
});
