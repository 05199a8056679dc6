import { once } from "node:events";
import { Agent, request } from "node:http";
import { type Socket, connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect } from "vitest";
import { test } from "../support/contract.ts";
import { Backend, headersOf, startRaw } from "../support/backend.ts";
import type { DataPlaneRig } from "../support/data-plane.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

/** Longer than proxies wait, or keep a connection, when nobody has told them. */
const BEYOND_DEFAULTS_MS = 16_000;

async function answerOf(socket: Socket, bytes: string): Promise<string> {
  socket.write(bytes);
  const [chunk] = (await once(socket, "data")) as [Buffer];
  return chunk.toString("latin1");
}

/** Where data planes differ unless they are told not to. */
export function describeParity(name: string, start: () => Promise<DataPlaneRig>): void {
  describe(`${name}: the same on every data plane`, () => {
    let rig: DataPlaneRig;
    const web = new Backend("web");
    const GET = "GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n";

    beforeAll(async () => {
      await web.start();
      rig = await start();
    });
    afterAll(async () => {
      await rig.close();
      await web.stop();
    });
    beforeEach(() => {
      web.answer = (_request, response) => response.end("web");
      web.seen.length = 0;
    });

    const serve = async (rule: string, ports: readonly number[] = [web.port]): Promise<void> =>
      rig.publish(serviceYaml("web", ports) + routeYaml("r", `rules: [{${rule}}]`));
    const WEB = "backendRefs: [{name: web, port: 80}]";

    test("D39: what is added to a request and to an answer, and nothing else", async () => {
      await serve(WEB);
      web.answer = (_request, response) => response.writeHead(200, { "x-own": "1", "content-length": 4 }).end("web");
      const socket = connect(rig.port, "127.0.0.1");
      const answer = await answerOf(socket, GET);
      socket.destroy();
      const said = answer.slice(answer.indexOf("\r\n") + 2, answer.indexOf("\r\n\r\n")).toLowerCase();
      const names = said.split("\r\n").map((line) => line.slice(0, line.indexOf(":")));
      expect(names.filter((one) => one !== "keep-alive" && one !== "connection").sort()).toEqual([
        "content-length",
        "date",
        "x-own",
      ]);
      const { headers } = web.seen[0]!;
      const got = headers.filter((_, i) => i % 2 === 0).map((one) => one.toLowerCase());
      expect(got.filter((one) => one !== "connection").sort()).toEqual([
        "host",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
        "x-serviceroute-hops",
      ]);
      expect(headersOf(web.seen[0]!, "x-forwarded-for")).toEqual(["127.0.0.1"]);
    });

    test("D44, D46: nothing ends a slow request or an idle connection that nobody has said a time for", async () => {
      await serve(WEB);
      web.answer = ({ url }, response) =>
        void setTimeout(() => response.end("late"), url === "/slow" ? BEYOND_DEFAULTS_MS : 0);
      const idle = connect(rig.port, "127.0.0.1");
      expect(await answerOf(idle, GET)).toMatch(/^HTTP\/1\.1 200/);
      const [slow] = await Promise.all([rig.ask("/slow"), sleep(BEYOND_DEFAULTS_MS)]);
      expect([slow.status, slow.body]).toEqual([200, "late"]);
      expect(await answerOf(idle, GET)).toMatch(/^HTTP\/1\.1 200/);
      idle.destroy();
    });

    test("D44: an answer says how long its connection is kept", async () => {
      await serve(WEB);
      const socket = connect(rig.port, "127.0.0.1");
      expect(await answerOf(socket, GET)).toMatch(/^HTTP\/1\.1 200[^]*\r\nkeep-alive: timeout=75\r\n/i);
      socket.destroy();
    });

    test("D46: what a client asks of a proxy behind us changes neither tries nor times", async () => {
      let connections = 0;
      const raw = await startRaw((socket) => {
        connections++;
        socket.once("data", () => socket.resetAndDestroy());
      });
      await serve(WEB, [raw.port]);
      const headers = {
        "x-envoy-max-retries": "5",
        "x-envoy-retry-on": "reset,5xx",
        "x-envoy-upstream-rq-timeout-ms": "1",
      };
      expect((await rig.ask("/", { headers })).status).toBe(503);
      expect(connections).toBe(1);
      await raw.stop();
      web.answer = (_request, response) => void setTimeout(() => response.end("web"), 100);
      await serve(WEB);
      expect((await rig.ask("/", { headers })).status).toBe(200);
    });

    test.for<[pattern: string, yes: readonly string[], no: readonly string[]]>([
      ["/v[0-9]+", ["/v1", "/v22"], ["/v", "/v1/x", "/x/v1", "/V1"]],
      ["/a|/b", ["/a", "/b"], ["/ab", "/a/b", "/xb"]],
      ["(?i)/Shop", ["/shop", "/SHOP"], ["/shop/"]],
      ["/.*", ["/", "/a/b"], []],
      ["/[[:alpha:]]+\\\\d{2,3}", ["/ab12", "/z123"], ["/ab1", "/12", "/ab1234"]],
      ["/(a+)+b", ["/aab"], [`/${"a".repeat(60)}`]],
      ["/\\\\pL+", ["/abc"], ["/a1"]],
    ])("D48: %s means the same", async ([pattern, yes, no]) => {
      await serve(`matches: [{path: {type: RegularExpression, value: "${pattern}"}}], ${WEB}`);
      for (const path of yes) expect([path, (await rig.ask(path)).status]).toEqual([path, 200]);
      for (const path of no) expect([path, (await rig.ask(path)).status]).toEqual([path, 404]);
    });

    /** Asks one after the other on one connection. */
    async function ask(agent: Agent, method: string, path: string): Promise<string> {
      return new Promise((resolve, reject) => {
        const outgoing = request(
          { port: rig.port, host: "127.0.0.1", method, path, agent, headers: { host: "a.example.com" } },
          (incoming) => {
            let text = "";
            incoming.on("data", (chunk: Buffer) => (text += chunk.toString()));
            incoming.on("end", () => resolve(`${incoming.statusCode ?? 0} ${text}`));
          },
        );
        outgoing.on("error", reject);
        outgoing.end();
      });
    }

    test.for<[what: string, method: string, answer: string]>([
      ["a body after 204", "GET", "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"],
      ["a body after 304", "GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 4\r\n\r\nevil"],
      ["a body after an answer to HEAD", "HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"],
      [
        "a second answer",
        "GET",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
      ],
    ])("F48: %s reaches nobody", async ([, method, answer]) => {
      let first = true;
      const raw = await startRaw((socket) => {
        socket.on("data", () => {
          socket.write(first ? answer : "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext");
          first = false;
        });
      });
      await serve(WEB, [raw.port]);
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      const got = await ask(agent, method, "/");
      expect(got).toMatch(/^(?:200 (?:ok)?|204 |304 |502 .*)$/);
      for (let i = 0; i < 3; i++) expect(`${got} ${await ask(agent, "GET", "/")}`).not.toContain("evil");
      agent.destroy();
      await raw.stop();
    });

    test("F49: a kept connection that its backend closes as we send costs a safe request nothing, and repeats no other", async () => {
      const seen: string[] = [];
      const raw = await startRaw((socket) => {
        let served = 0;
        socket.on("data", (chunk) => {
          seen.push(chunk.toString().slice(0, 4).trim());
          // The second on a connection finds it closed, as by a backend that had enough of waiting.
          if (++served === 1) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
          else socket.destroy();
        });
      });
      await serve(WEB, [raw.port]);
      for (let i = 0; i < 6; i++) expect((await rig.ask("/")).body).toBe("ok");
      seen.length = 0;
      const posts = [];
      for (let i = 0; i < 4; i++) posts.push((await rig.ask("/", { method: "POST", body: "x" })).status);
      expect(posts.every((status) => status === 200 || status === 503)).toBe(true);
      expect(seen.filter((one) => one === "POST")).toHaveLength(4);
      await raw.stop();
    });
  });
}
