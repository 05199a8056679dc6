import { type Socket, connect } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from "vitest";
import { test } from "../support/contract.ts";
import { Backend, closedPort, startRaw } from "../support/backend.ts";
import { type DataPlaneRig, until } from "../support/data-plane.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

/** What a client gets when something is wrong, on any data plane. */
export function describeFailure(name: string, start: () => Promise<DataPlaneRig>): void {
  describe(`${name}: failure`, () => {
    let rig: DataPlaneRig;
    const web = new Backend("web");
    const stops: (() => Promise<void>)[] = [];

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
    afterEach(async () => {
      await Promise.all(stops.splice(0).map(async (stop) => stop()));
    });

    const serve = async (rule: string, ports: readonly number[] = [web.port]): Promise<void> =>
      rig.publish(serviceYaml("web", ports) + routeYaml("r", `rules: [{${rule}}]`));
    const WEB = "backendRefs: [{name: web, port: 80}]";
    const outcome = async (path = "/", options = {}): Promise<string> => {
      const { status, headers } = await rig.ask(path, options);
      const reason = headers["x-serviceroute-reason"];
      return typeof reason === "string" ? `${status} ${reason}` : String(status);
    };

    test.for([
      ["a rule without backends", "", "500 NoBackends"],
      ["every weight 0", "backendRefs: [{name: web, port: 80, weight: 0}]", "500 NoBackends"],
      ["B17: a Service that is not there", "backendRefs: [{name: nobody, port: 80}]", "500 InvalidBackend"],
      [
        "B37: a filter that is not known",
        `filters: [{type: ExtensionRef, extensionRef: {group: x.example, kind: Y, name: z}}], ${WEB}`,
        "500 InvalidRule",
      ],
      ["a policy that is not served", `authorization: {defaultAction: Allow}, ${WEB}`, "500 InvalidRule"],
    ] as const)("%s", async ([, rule, want]) => {
      await serve(rule);
      expect(await outcome()).toBe(want);
      expect(web.seen).toEqual([]);
    });

    test("F32: no endpoint, and recovery with the first one", async () => {
      await serve(WEB, []);
      expect(await outcome()).toBe("503 NoEndpoints");
      await serve(WEB);
      expect(await outcome()).toBe("200");
    });

    test("a rule that cannot be built keeps its requests from falling to another", async () => {
      await rig.publish(
        serviceYaml("web", [web.port]) +
          routeYaml("r", `rules: [{${WEB}}, {matches: [{path: {value: /admin}}], timeouts: {request: never}, ${WEB}}]`),
      );
      expect([await outcome("/"), await outcome("/admin/x")]).toEqual(["200", "500 InvalidRule"]);
    });

    test("B17: a share with an invalid backend, and redistribution of one without endpoints", async () => {
      const refs = "backendRefs: [{name: web, port: 80}, {name: nobody, port: 80}, {name: empty, port: 80}]";
      const share = async (rule: string): Promise<Record<string, number>> => {
        await rig.publish(
          serviceYaml("web", [web.port]) + serviceYaml("empty", []) + routeYaml("r", `rules: [{${rule}}]`),
        );
        const counts: Record<string, number> = {};
        for (let i = 0; i < 600; i++) {
          const got = await outcome();
          counts[got] = (counts[got] ?? 0) + 1;
        }
        return counts;
      };
      const failed = await share(refs);
      expect(Object.keys(failed).sort()).toEqual(["200", "500 InvalidBackend", "503 NoEndpoints"]);
      for (const count of Object.values(failed)) expect(Math.abs(count - 200)).toBeLessThan(60);
      const given = await share(`whenNoEndpoints: Redistribute, ${refs}`);
      expect(Object.keys(given).sort()).toEqual(["200", "500 InvalidBackend"]);
      for (const count of Object.values(given)) expect(Math.abs(count - 300)).toBeLessThan(65);
    });

    test("F46, D46: a connection that is refused is tried once on another endpoint, without a retry stanza", async () => {
      await serve(WEB, [await closedPort(), web.port]);
      for (let i = 0; i < 20; i++) expect(await outcome("/", { method: "POST", body: "x" })).toBe("200");
      await serve(WEB, [await closedPort()]);
      expect(await outcome()).toBe("503 ConnectFailure");
    });

    test("a reset before the answer is 503, and not sent twice without a retry stanza", async () => {
      let connections = 0;
      const raw = await startRaw((socket) => socket.on("data", () => (connections++, socket.destroy())));
      stops.push(raw.stop);
      await serve(WEB, [raw.port]);
      expect(await outcome("/", { method: "POST", body: "x" })).toBe("503 Reset");
      expect(connections).toBe(1);
    });

    test("with a retry stanza a reset is tried on another endpoint, with the body", async () => {
      const raw = await startRaw((socket) => socket.on("data", () => socket.destroy()));
      stops.push(raw.stop);
      await serve(`retry: {attempts: 1, backoff: 1ms}, ${WEB}`, [raw.port, web.port]);
      for (let i = 0; i < 10; i++) expect(await outcome("/", { method: "POST", body: "again" })).toBe("200");
      expect(web.seen.every(({ body }) => body.toString() === "again")).toBe(true);
    });

    test("statuses named in codes are tried again, at most attempts times, and the last answer is passed on", async () => {
      web.answer = (_request, response) => response.writeHead(503).end("busy");
      await serve(`retry: {attempts: 3, codes: [503], backoff: 1ms}, ${WEB}`);
      const reply = await rig.ask("/");
      expect([reply.status, reply.body, web.seen.length]).toEqual([503, "busy", 4]);
    });

    test("a body over 64 KiB is not sent twice", async () => {
      web.answer = (_request, response) => response.writeHead(503).end();
      await serve(`retry: {attempts: 3, codes: [503], backoff: 1ms}, ${WEB}`);
      expect((await rig.ask("/", { method: "PUT", body: Buffer.alloc(70_000) })).status).toBe(503);
      expect(web.seen.length).toBe(1);
    });

    test("the budget ends a storm of retries", async () => {
      web.answer = (_request, response) => setTimeout(() => response.writeHead(503).end(), 50);
      await serve(`retry: {attempts: 5, codes: [503], backoff: 1ms, budget: {percent: 0, minConcurrent: 2}}, ${WEB}`);
      await Promise.all(Array.from({ length: 40 }, async () => rig.ask("/")));
      // 40 first tries; two requests at a time may retry, five times each, for as long as the others run.
      expect(web.seen.length).toBeLessThan(40 + 25);
    });

    test("F46: time limits of a try and of the request", async () => {
      web.answer = () => undefined;
      await serve(`timeouts: {backendRequest: 100ms}, ${WEB}`);
      expect(await outcome()).toBe("504 BackendTimeout");
      await serve(`timeouts: {request: 100ms}, ${WEB}`);
      expect(await outcome()).toBe("504 RequestTimeout");
      await serve(`timeouts: {request: 250ms, backendRequest: 100ms}, retry: {attempts: 10, backoff: 1ms}, ${WEB}`);
      expect(await outcome()).toBe("504 RequestTimeout");
    });

    test("F47: an answer that breaks off is never whole", async () => {
      web.answer = (_request, response) => {
        response.writeHead(200, { "content-length": "10" }).write("abc");
        setTimeout(() => response.destroy(), 20);
      };
      await serve(WEB);
      await expect(rig.ask("/")).rejects.toThrow(/aborted|hang up|ECONNRESET/);
    });

    test.for([
      ["bytes that are no HTTP", "\x00\x01garbage\r\n\r\n"],
      ["two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd"],
      [
        "a length and chunks",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
      ],
    ] as const)("D34: %s are 502", async ([, bytes]) => {
      const raw = await startRaw((socket) => socket.on("data", () => socket.end(bytes, "latin1")));
      stops.push(raw.stop);
      await serve(WEB, [raw.port]);
      expect(await outcome()).toBe("502 BadResponse");
    });

    test("S18: bytes that nobody asked for never become the next answer", async () => {
      const raw = await startRaw((socket) =>
        socket.on("data", () =>
          socket.write(
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
          ),
        ),
      );
      stops.push(raw.stop);
      await serve(WEB, [raw.port]);
      for (let i = 0; i < 20; i++) expect((await rig.ask("/")).body).not.toBe("evil");
    });

    test("S18: what is said unasked on a connection that waits is no answer, though the next request comes with it", async () => {
      const answer = (body: string): string => `HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n${body}`;
      let last: Socket | undefined;
      const raw = await startRaw((socket) => {
        last = socket;
        socket.on("data", () => socket.write(answer("good")));
      });
      stops.push(raw.stop);
      await serve(WEB, [raw.port]);
      const bodies = new Set<string>();
      for (let i = 0; i < 50; i++) {
        bodies.add((await rig.ask("/")).body);
        last?.write(answer("evil"));
        const busy = performance.now() + (i % 3);
        while (performance.now() < busy);
      }
      expect(bodies).toEqual(new Set(["good"]));
    });

    test("a body over its limit is 413, by its length and by its bytes", async () => {
      await serve(`maxRequestBody: 1Ki, ${WEB}`);
      expect(await outcome("/", { method: "POST", body: Buffer.alloc(1024) })).toBe("200");
      expect(await outcome("/", { method: "POST", body: Buffer.alloc(1025) })).toBe("413 BodyTooLarge");
      expect(await outcome("/", { method: "POST", body: [Buffer.alloc(600), Buffer.alloc(600)] })).toBe(
        "413 BodyTooLarge",
      );
    });

    test("a body over its limit is 413 where the gateway answers itself, too", async () => {
      for (const [filter, status] of [
        ["{type: DirectResponse, directResponse: {statusCode: 200}}", 200],
        ["{type: RequestRedirect, requestRedirect: {hostname: b.example.com}}", 302],
      ] as const) {
        await serve(`maxRequestBody: 1Ki, filters: [${filter}]`);
        const [half, whole] = [Buffer.alloc(600), Buffer.alloc(1024)];
        expect(await outcome("/", { method: "POST", body: whole })).toBe(String(status));
        expect(await outcome("/", { method: "POST", body: [half] })).toBe(String(status));
        expect(await outcome("/", { method: "POST", body: Buffer.alloc(1025) })).toBe("413 BodyTooLarge");
        expect(await outcome("/", { method: "POST", body: [half, half] })).toBe("413 BodyTooLarge");
      }
    });

    test("an answer of the gateway to a request that a rule takes has the rule's headers, and CORS", async () => {
      const filters =
        "filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-frame-options, value: DENY}]}}, {type: CORS, cors: {allowOrigins: ['https://app.example.com']}}]";
      const headers = { origin: "https://app.example.com" };
      const told = async (): Promise<unknown[]> => {
        const answer = await rig.ask("/", { method: "POST", headers, body: Buffer.alloc(2000) });
        const names = ["x-frame-options", "access-control-allow-origin", "x-serviceroute-reason", "content-length"];
        return [answer.status, ...names.map((name) => answer.headers[name])];
      };
      const both = ["DENY", "https://app.example.com"];
      await serve(`${filters}, ${WEB}`, []);
      expect(await told()).toEqual([503, ...both, "NoEndpoints", "12"]);
      await serve(`maxRequestBody: 1Ki, ${filters}, ${WEB}`);
      expect(await told()).toEqual([413, ...both, "BodyTooLarge", "13"]);
      await serve(`${filters}, backendRefs: [{name: nobody, port: 80}]`);
      expect(await told()).toEqual([500, ...both, "InvalidBackend", "15"]);
    });

    test("a client that goes away takes its request along", async () => {
      let closed = 0;
      web.answer = (_request, response) => response.on("close", () => closed++);
      await serve(WEB);
      const socket = connect(rig.port, "127.0.0.1", () =>
        socket.write("GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n"),
      );
      await until("the backend has it", () => web.seen.length === 1);
      socket.destroy();
      await until("the backend's side is closed", () => closed === 1);
    });

    test("an early answer to a large upload leaves a connection that can be used again", async () => {
      const raw = await startRaw((socket) =>
        socket.once("data", () => {
          // Reads no further: the rest of the body can only be dropped by the gateway.
          socket.pause();
          socket.write("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n");
        }),
      );
      stops.push(raw.stop);
      await serve(WEB, [raw.port]);
      const size = 30_000_000;
      const text = await new Promise<string>((resolve, reject) => {
        let received = "";
        const socket = connect(rig.port, "127.0.0.1", () => {
          socket.write(`POST / HTTP/1.1\r\nhost: a.example.com\r\ncontent-length: ${size}\r\n\r\n`);
          socket.write(Buffer.alloc(size));
          socket.write("GET /next HTTP/1.1\r\nhost: nobody.example.com\r\nconnection: close\r\n\r\n");
        });
        socket.setTimeout(8000, () => socket.destroy(new Error("no answer")));
        socket.on("data", (chunk) => (received += chunk.toString()));
        socket.on("close", () => resolve(received)).on("error", reject);
      });
      expect([...text.matchAll(/HTTP\/1.1 ([0-9]+)/g)].map(([, status]) => status)).toEqual(["401", "401"]);
    });

    test("D29: an offer of another protocol than WebSocket is declined, body and all", async () => {
      const large = "x".repeat(3_000_000);
      web.answer = (_request, response) => response.end(large);
      await serve(WEB);
      const reply = await rig.ask("/", {
        method: "POST",
        body: "hello",
        headers: { connection: "upgrade, http2-settings", upgrade: "h2c", "http2-settings": "AAMAAABk" },
      });
      expect([reply.body.length, web.seen[0]?.body.toString()]).toEqual([large.length, "hello"]);
    });

    test("D19: bytes beyond ASCII in headers pass as they are", async () => {
      const raw = await startRaw((socket) =>
        socket.once("data", () =>
          socket.end(Buffer.from("HTTP/1.1 200 OK\r\nx-a: caf\u00e9\r\ncontent-length: 2\r\n\r\nok", "latin1")),
        ),
      );
      stops.push(raw.stop);
      await serve(WEB, [raw.port]);
      expect((await rig.ask("/")).headers["x-a"]).toBe("caf\u00e9");
    });

    test("a long path and a long host cost next to nothing", async () => {
      await serve(WEB);
      const started = performance.now();
      for (let i = 0; i < 50; i++) {
        await rig.ask("/a".repeat(7000));
        await rig.ask("/", { host: `${"a.".repeat(7000)}test` });
      }
      // Taking such a path or host apart at every separator took 90 ms each.
      expect(performance.now() - started).toBeLessThan(100 * 45);
    });

    test("an endpoint that refuses is avoided for a while instead of drawing all tries", async () => {
      await serve(WEB, [await closedPort(), await closedPort(), web.port]);
      const outcomes: string[] = [];
      for (let i = 0; i < 60; i++) outcomes.push(await outcome());
      expect(outcomes.filter((one) => one !== "200").length).toBeLessThan(6);
    });

    test("a Vary of the backend is kept beside that of CORS", async () => {
      web.answer = (_request, response) => response.writeHead(200, { vary: "accept" }).end();
      await serve(`filters: [{type: CORS, cors: {allowOrigins: ["https://app.example.com"]}}], ${WEB}`);
      const { headers } = await rig.ask("/", { headers: { origin: "https://app.example.com" } });
      expect(headers["vary"]?.split(/, ?/)).toEqual(["accept", "origin"]);
    });

    test.for([
      ["two hosts", "GET / HTTP/1.1\r\nhost: a.example.com\r\nhost: b.example.com\r\n\r\n", 400],
      ["no host", "GET / HTTP/1.1\r\n\r\n", 400],
      ["an empty host", "GET / HTTP/1.1\r\nhost: \r\n\r\n", 400],
      ["B7: a host with user information", "GET / HTTP/1.1\r\nhost: u@a.example.com\r\n\r\n", 400],
      [
        "B50: a length and chunks",
        "POST / HTTP/1.1\r\nhost: a.example.com\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
      ],
      ["B49: an escaped slash", "GET /a%2fb HTTP/1.1\r\nhost: a.example.com\r\n\r\n", 400],
      [
        "a coding besides chunked",
        "POST / HTTP/1.1\r\nhost: a.example.com\r\ntransfer-encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        501,
      ],
      ["a tunnel to anywhere", "CONNECT a.example.com:443 HTTP/1.1\r\nhost: a.example.com:443\r\n\r\n", 405],
      ["a method of its own", "TRACE / HTTP/1.1\r\nhost: a.example.com\r\n\r\n", 405],
      ["B51: headers of 17 KB", `GET / HTTP/1.1\r\nhost: a.example.com\r\nx: ${"y".repeat(17_000)}\r\n\r\n`, 431],
    ] as const)("%s is refused", async ([, bytes, status]) => {
      await serve(WEB);
      const text = await new Promise<string>((resolve, reject) => {
        let received = "";
        const socket = connect(rig.port, "127.0.0.1", () => socket.write(bytes));
        socket.setTimeout(3000, () => socket.destroy());
        socket.on("data", (chunk) => {
          received += chunk.toString();
          socket.end();
        });
        socket.on("close", () => resolve(received)).on("error", reject);
      });
      expect(text.split(" ")[1]).toBe(String(status));
      expect(web.seen).toEqual([]);
    });
  });
}
