import { once } from "node:events";
import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import type { Key } from "../../src/api/keys.ts";
import { SCOPED_FROM } from "../../src/xds/gateway/table-book.ts";
import { Backend } from "../support/backend.ts";
import { send, until } from "../support/data-plane.ts";
import { EnvoyRig } from "../support/envoy-rig.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const SMALL = 10;
const LARGE = SCOPED_FROM * 3;
/** How long proxies have to read all that there is. */
const FIRST_MS = 60_000;
const TOLD_MS = 2000;
/** Envoy's RE2 reads bytes, so that it refuses a character beyond them; other engines do not. */
const REFUSED = "/\\x{212A}";
const keyOf = (name: string): Key<"ServiceRoute"> => `ServiceRoute/default/${name}` as Key<"ServiceRoute">;
const WEB = "backendRefs: [{name: web, port: 80}]";
const route = (name: string, host: string, rule = ""): string =>
  routeYaml(name, `hostnames: ["${host}"]\nrules: [{${rule}${WEB}}]`);
const hosts = (count: number): string =>
  Array.from({ length: count }, (_, i) => route(`h${i}`, `h${i}.example.com`)).join("");

async function start(): Promise<{ rig: EnvoyRig; web: Backend; service: string }> {
  const web = await new Backend("web").start();
  cleanups.push(async () => web.stop());
  const rig = await EnvoyRig.start();
  cleanups.push(async () => rig.close());
  return { rig, web, service: serviceYaml("web", [web.port]) };
}

describe("tables of every size", () => {
  test.for([SMALL, 5000, 40_000])(
    "F17: with %d routes, what nobody requests is Programmed when proxies have said so, and refused within 2 s",
    { timeout: 180_000 },
    async (count) => {
      const { rig, web, service } = await start();
      rig.apply(service + hosts(count));
      const last = keyOf(`h${count - 1}`);
      expect(rig.programmed(last).slice(0, 2)).toEqual(["Unknown", "NoProxies"]);
      await rig.startEnvoy();
      await until("the last one is served", () => rig.programmed(last)[0] === "True", FIRST_MS);
      rig.add(route("bad", "bad.example.com", `matches: [{path: {type: RegularExpression, value: '${REFUSED}'}}], `));
      const began = performance.now();
      await until("it is refused", () => rig.programmed(keyOf("bad"))[1] === "RejectedByProxy", TOLD_MS);
      rig.add(route("good", "good.example.com"));
      await until("it is served", () => rig.programmed(keyOf("good"))[0] === "True", TOLD_MS);
      const told = Math.round(performance.now() - began);
      console.log(`# ${count} routes: a refused one and then a good one were told within ${told} ms`);
      expect(rig.programmed(keyOf("good"))[2]).toBe("live on 1 of 1");
      expect(web.seen).toEqual([]);
      for (const host of ["good", "h0", `h${count - 1}`])
        expect((await send(rig.port, "/", { host: `${host}.example.com` })).status).toBe(200);
    },
  );

  test.for([SMALL, LARGE])("with %d hostnames, hosts mean the same however they are written", async (count) => {
    const { rig, service } = await start();
    await rig.startEnvoy();
    const named = (name: string): string =>
      `filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-by, value: ${name}}]}}], `;
    rig.apply(
      service +
        hosts(count) +
        route("wild", "*.wild.example.com", named("wild")) +
        route("deep", "*.a.wild.example.com", named("deep")) +
        route("under", "x.wild.example.com", named("under")),
    );
    await until("all is served", () => rig.programmed(keyOf("under"))[0] === "True", FIRST_MS);
    await rig.plane.settled();
    const asked = async (host: string): Promise<unknown> => {
      const { status, headers } = await send(rig.port, "/", { host });
      return status === 200 ? (headers["x-by"] ?? "exact") : headers["x-serviceroute-reason"];
    };
    const wanted: [string, string][] = [
      ["h0.example.com", "exact"],
      ["H0.Example.com", "exact"],
      ["h0.example.com.", "exact"],
      ["h0.example.com:8080", "exact"],
      ["H1.example.com.:99", "exact"],
      ["b.wild.example.com", "wild"],
      ["d.c.b.Wild.example.com:1", "wild"],
      ["c.a.wild.example.com", "deep"],
      ["X.wild.example.com", "under"],
      ["wild.example.com", "NoRoute"],
      ["none.example.com", "NoRoute"],
      ["[::1]:80", "NoRoute"],
      ["*.wild.example.com", "BadRequest"],
    ];
    const got = await Promise.all(wanted.map(async ([host]): Promise<[string, unknown]> => [host, await asked(host)]));
    expect(got).toEqual(wanted);
    rig.add(routeYaml("all", `rules: [{${named("all")}${WEB}}]`));
    await until("it is served", () => rig.programmed(keyOf("all"))[0] === "True");
    expect([await asked("none.example.com"), await asked("h0.example.com"), await asked("b.wild.example.com")]).toEqual(
      ["all", "exact", "wild"],
    );
  });

  test("P1: the table is cut up and put together again under load without one failed request or dropped connection", async () => {
    const { rig, web, service } = await start();
    const sockets = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    sockets.on("connection", (socket) => socket.on("message", (message) => socket.send(message)));
    await once(sockets, "listening");
    cleanups.push(async () => Promise.resolve(sockets.close()));
    const chat = serviceYaml("chat", [(sockets.address() as { port: number }).port]);
    const toChat = routeYaml("chat", "hostnames: [chat.example.com]\nrules: [{backendRefs: [{name: chat, port: 80}]}]");
    const show = (count: number): void => rig.apply(service + chat + toChat + hosts(count));
    await rig.startEnvoy();
    show(SMALL);
    await until("all is served", () => rig.programmed(keyOf("chat"))[0] === "True");
    const open = new WebSocket(`ws://127.0.0.1:${rig.port}/`, { headers: { host: "chat.example.com" } });
    await once(open, "open");

    const agent = new Agent({ keepAlive: true, maxSockets: 8 });
    const counts = { sent: 0, failed: 0 };
    const load = { isOver: false };
    const one = async (): Promise<void> => {
      const status = await new Promise<number>((resolve) => {
        const headers = { host: "h0.example.com" };
        request({ host: "127.0.0.1", port: rig.port, agent, headers }, (answer) => {
          answer.resume().on("end", () => resolve(answer.statusCode ?? 0));
        })
          .on("error", () => resolve(0))
          .end();
      });
      counts.sent++;
      if (status !== 200) counts.failed++;
    };
    const loads = Array.from({ length: 8 }, async () => {
      while (!load.isOver) await one();
    });
    for (const count of [LARGE, SMALL, LARGE, SMALL]) {
      show(count);
      await until("all is served", () => rig.programmed(keyOf(`h${count - 1}`))[0] === "True");
      await rig.plane.settled();
      await sleep(300);
    }
    load.isOver = true;
    await Promise.all(loads);
    agent.destroy();
    open.send("still there");
    const [message] = (await once(open, "message")) as [Buffer];
    open.close();
    console.log(
      `# P1: ${counts.sent} requests on kept connections while the layout changed four times, ${counts.failed} failed`,
    );
    expect([counts.failed, message.toString(), web.seen.length > 100]).toEqual([0, "still there", true]);
  });
});
