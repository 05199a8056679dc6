import { createHash } from "node:crypto";
import { once } from "node:events";
import { request } from "node:http";
import type { ClientHttp2Session } from "node:http2";
import type { Readable } from "node:stream";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from "vitest";
import { test } from "../support/contract.ts";
import { WebSocket, WebSocketServer } from "ws";
import { Backend, headersOf, startRaw } from "../support/backend.ts";
import { type DataPlaneRig, until } from "../support/data-plane.ts";
import { Http2Backend, askHttp2, openHttp2, replyOf, valuesOf } from "../support/http2.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

/** @source RFC 6455 section 1.3. */
const MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const H2C = "kubernetes.io/h2c";
const speaking = (yaml: string, protocol: string): string =>
  yaml.replace("appProtocol: http", `appProtocol: ${protocol}`);

/** HTTP/2 to clients and to backends, on any data plane. */
export function describeHttp2(name: string, start: () => Promise<DataPlaneRig>): void {
  describe(`${name}: HTTP/2`, () => {
    let rig: DataPlaneRig;
    let session: ClientHttp2Session;
    const web = new Backend("web");
    const two = new Http2Backend();

    beforeAll(async () => {
      await Promise.all([web.start(), two.start()]);
      rig = await start();
    });
    afterAll(async () => {
      await rig.close();
      await Promise.all([web.stop(), two.stop()]);
    });
    beforeEach(async () => {
      web.seen.length = two.seen.length = 0;
      web.answer = (_request, response) => response.end("web");
      two.answer = (stream) => {
        stream.respond({ ":status": 200, "content-type": "text/plain" });
        stream.end("h2");
      };
      await serve();
      session = await openHttp2(`http://127.0.0.1:${rig.port}`);
    });
    afterEach(() => session.destroy());

    const serve = async (rule = ""): Promise<void> =>
      rig.publish(
        serviceYaml("web", [web.port]) +
          speaking(serviceYaml("two", [two.port]), H2C) +
          routeYaml(
            "r",
            `rules: [{${rule}matches: [{path: {value: /two}}], backendRefs: [{name: two, port: 80}]}, {${rule}backendRefs: [{name: web, port: 80}]}]`,
          ),
      );

    test("D43: a client that begins with the preface is served, over a backend of HTTP/1.1", async () => {
      const reply = await askHttp2(session, "/p?q=1", {
        method: "POST",
        headers: ["x-a", "1", "x-a", "2", "cookie", "a=1", "cookie", "b=2"],
        body: "hello",
      });
      expect([reply.status, reply.body, reply.code]).toEqual([200, "web", 0]);
      const [seen] = web.seen;
      expect([seen?.method, seen?.url, seen?.body.toString()]).toEqual(["POST", "/p?q=1", "hello"]);
      const names = ["host", "x-a", "cookie", "x-forwarded-proto", "connection"];
      expect(names.map((header) => headersOf(seen ?? { headers: [] }, header))).toEqual([
        ["a.example.com"],
        ["1", "2"],
        ["a=1; b=2"],
        ["http"],
        ["keep-alive"],
      ]);
    });

    test.for([
      ["/", "web"],
      ["/two", "h2"],
    ])("a hundred requests at once on one connection, to %s", async ([path, body]) => {
      const replies = await Promise.all(Array.from({ length: 100 }, async () => askHttp2(session, path ?? "")));
      expect(new Set(replies.map((reply) => `${reply.status} ${reply.body}`))).toEqual(new Set([`200 ${body ?? ""}`]));
    });

    test.for(["HTTP/1.1", "HTTP/2"])("server-sent events arrive one by one over %s", async (version) => {
      let say: (event: string) => void = () => undefined;
      web.answer = (_request, response) => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.flushHeaders();
        say = (event) => void response.write(`data: ${event}\n\n`);
      };
      const asked =
        version === "HTTP/2"
          ? session.request([":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a.example.com"])
          : request({ host: "127.0.0.1", port: rig.port, headers: { host: "a.example.com" } }).end();
      const [answer] = (await once(
        asked.on("error", () => undefined),
        "response",
      )) as [Readable];
      const events = version === "HTTP/2" ? asked : answer;
      const heard: string[] = [];
      events.on("data", (chunk: Buffer) => heard.push(chunk.toString())).on("error", () => undefined);
      for (const event of ["one", "two", "three"]) {
        say(event);
        await until("it is there before the next is said", () => heard.at(-1) === `data: ${event}\n\n`);
      }
      expect(heard).toHaveLength(3);
      asked.destroy();
    });

    test("a large body goes both ways whole", async () => {
      web.answer = (request, response) => response.end(request.body);
      two.answer = (stream) => {
        stream.respond({ ":status": 200 });
        stream.pipe(stream);
      };
      const body = "0123456789".repeat(200_000);
      for (const path of ["/", "/two"]) {
        const reply = await askHttp2(session, path, { method: "POST", body });
        expect([reply.status, reply.body === body, reply.code], path).toEqual([200, true, 0]);
      }
    });

    test.for(["/", "/two"])("HEAD, 204 and 304 end without a body, on %s", async (path) => {
      let status = 200;
      web.answer = (_request, response) => response.writeHead(status, { "x-b": "y" }).end();
      two.answer = (stream) => stream.respond({ ":status": status, "x-b": "y" }, { endStream: true });
      for (const [method, answered] of [
        ["HEAD", 200],
        ["GET", 204],
        ["GET", 304],
      ] as const) {
        status = answered;
        const reply = await askHttp2(session, path, { method });
        expect([reply.status, reply.body, valuesOf(reply.headers, "x-b"), reply.code]).toEqual([status, "", ["y"], 0]);
      }
    });

    test("D32: trailers go both ways between HTTP/2 and HTTP/2", async () => {
      two.answer = (stream) => {
        stream.respond({ ":status": 200 }, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ "x-check": ["1", "2"], "grpc-status": "0" }));
        stream.resume().on("end", () => stream.end("done"));
      };
      const reply = await askHttp2(session, "/two", { method: "POST", body: "x", trailers: { "x-sum": "7" } });
      expect([reply.body, valuesOf(reply.trailers, "x-check"), valuesOf(reply.trailers, "grpc-status")]).toEqual([
        "done",
        ["1", "2"],
        ["0"],
      ]);
      expect([two.seen[0]?.body, two.seen[0]?.trailers]).toEqual(["x", ["x-sum", "7"]]);
    });

    test("an HTTP/1.1 client is served by a backend of HTTP/2, with its body and repeated headers", async () => {
      two.answer = (stream) => {
        stream.respond([":status", "207", "set-cookie", "a=1", "set-cookie", "b=2"]);
        stream.end("h2");
      };
      const chunks = [Buffer.from("one"), Buffer.from("two")];
      const reply = await rig.ask("/two", { method: "PUT", body: chunks, headers: { "x-a": ["1", "2"] } });
      expect([reply.status, reply.headers["set-cookie"], reply.body]).toEqual([207, ["a=1", "b=2"], "h2"]);
      const seen = two.seen[0]?.headers ?? [];
      expect([two.seen[0]?.body, valuesOf(seen, "x-a"), valuesOf(seen, ":authority"), valuesOf(seen, "host")]).toEqual([
        "onetwo",
        ["1", "2"],
        ["a.example.com"],
        [],
      ]);
    });

    test("te: trailers reaches backends of HTTP/2 alone", async () => {
      for (const path of ["/", "/two"]) await askHttp2(session, path, { headers: ["te", "trailers"] });
      expect(valuesOf(two.seen[0]?.headers ?? [], "te")).toEqual(["trailers"]);
      expect(headersOf(web.seen[0] ?? { headers: [] }, "te")).toEqual([]);
    });

    test("Expect: 100-continue is answered before the body is sent", async () => {
      const stream = session.request([
        ...[":method", "POST", ":path", "/", ":scheme", "http", ":authority", "a.example.com"],
        ...["expect", "100-continue"],
      ]);
      const asked = new Promise<void>((resolve) => stream.once("continue", resolve));
      const reply = replyOf(stream);
      await asked;
      stream.end("late");
      expect([(await reply).status, web.seen[0]?.body.toString()]).toEqual([200, "late"]);
    });

    test.for<[string, string[], number]>([
      ["D42: :authority and Host that differ", ["host", "b.example.com"], 400],
      ["D42: :authority and Host of different ports", ["host", "a.example.com:81"], 400],
      ["D42: :authority and Host that agree", ["host", "A.example.com"], 200],
      ["D22: an underscore in a name", ["x_a", "1"], 400],
      ["D24: more than a hundred headers", Array.from({ length: 202 }, (_, i) => (i % 2 === 0 ? `x-${i}` : "1")), 431],
      ["D24: more than 16 KiB of headers", ["x-a", "a".repeat(9000), "x-b", "b".repeat(9000)], 431],
      ["D28: an expectation that nobody knows", ["expect", "a-lot"], 417],
    ])("%s", async ([, headers, status]) => {
      const reply = await askHttp2(session, "/", { headers });
      const [reason] = valuesOf(reply.headers, "x-serviceroute-reason");
      expect([reply.status, reason]).toEqual([status, status === 200 ? undefined : "BadRequest"]);
      expect(web.seen).toHaveLength(status === 200 ? 1 : 0);
      expect((await askHttp2(session, "/")).status, "the connection serves on").toBe(200);
    });

    test.for([
      ["CONNECT", "/", 405],
      ["TRACE", "/", 405],
      ["get", "/", 400],
      ["GET", "/a/%2e%2e/%00", 400],
      ["GET", "*", 0],
    ] as const)("D8-D13: %s %s → %s", async ([method, path, status]) => {
      if (method === "CONNECT") {
        const stream = session.request([":method", "CONNECT", ":authority", "a.example.com:443"]);
        expect((await replyOf(stream)).status).toBe(status);
      } else expect((await askHttp2(session, path, { method })).status).toBe(status);
      expect(web.seen).toHaveLength(0);
    });

    test("an answer that breaks off is reset, never whole (D37)", async () => {
      const raw = await startRaw((socket) => {
        socket.once("data", () => {
          socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhal");
          setTimeout(() => socket.destroy(), 20);
        });
      });
      await rig.publish(
        serviceYaml("web", [raw.port]) + routeYaml("r", "rules: [{backendRefs: [{name: web, port: 80}]}]"),
      );
      const reply = await askHttp2(session, "/");
      expect([reply.status, reply.body, reply.code]).toEqual([200, "hal", 2]);
      await raw.stop();
    });

    test("a backend's stream that is reset: before an answer 503, after its beginning reset as well", async () => {
      two.answer = (stream) => stream.close(2);
      expect((await askHttp2(session, "/two")).status).toBe(503);
      two.answer = (stream) => {
        stream.respond({ ":status": 200 });
        stream.write("hal");
        setTimeout(() => stream.destroy(new Error("enough")), 20);
      };
      const reply = await askHttp2(session, "/two");
      expect([reply.status, reply.body, reply.code]).toEqual([200, "hal", 2]);
    });

    test("half a body never reaches a backend as a whole one", async () => {
      let code: number | undefined;
      two.answer = (stream, seen) => {
        stream.on("close", () => (code = seen.body === "half" && !stream.readableEnded ? stream.rstCode : 0));
      };
      const stream = session.request([
        ...[":method", "POST", ":path", "/two", ":scheme", "http", ":authority", "a.example.com"],
      ]);
      stream.on("error", () => undefined);
      stream.write("half");
      await until("the half has come", () => two.seen[0]?.body === "half");
      stream.destroy(new Error("gone"));
      await until("the backend knows", () => code !== undefined);
      expect(code).not.toBe(0);
    });

    test("a stream that the backend refuses is tried again, though it has a body", async () => {
      let tries = 0;
      two.answer = (stream) => {
        if (tries++ === 0) return stream.close(7);
        stream.respond({ ":status": 200 });
        stream.end("second");
      };
      const reply = await askHttp2(session, "/two", { method: "POST", body: "x" });
      expect([reply.status, reply.body, tries]).toEqual([200, "second", 2]);
    });

    test("a client that resets its stream ends the backend's", async () => {
      let closed = 0;
      two.answer = (stream) => {
        stream.on("close", () => closed++);
        stream.respond({ ":status": 200 });
        stream.write("first");
      };
      const stream = session.request([
        ":method",
        "GET",
        ":path",
        "/two",
        ":scheme",
        "http",
        ":authority",
        "a.example.com",
      ]);
      stream.on("error", () => undefined);
      await new Promise((resolve) => stream.once("data", resolve));
      stream.close(8);
      await until("the backend knows", () => closed === 1);
      expect((await askHttp2(session, "/")).status).toBe(200);
    });

    test("connections to a backend of HTTP/2 are shared, and a new one follows GOAWAY without a failure", async () => {
      for (let i = 0; i < 20; i++) {
        if (i % 5 === 4) for (const open of two.sessions) open.goaway(0);
        expect((await askHttp2(session, "/two")).status).toBe(200);
      }
      expect(two.seen).toHaveLength(20);
    });

    test.for([
      ["D24: a target over the limit of headers", `/${"a".repeat(17_000)}`, "431 BadRequest"],
      ["D24: a query over it", `/?${"a".repeat(17_000)}`, "431 BadRequest"],
      ["D24: one below it", `/${"a".repeat(15_000)}`, "200 web"],
      ["D12: raw UTF-8 in a query", "/?q=\u00e9", "400 BadRequest"],
      ["D12: a query as it may be", "/?q=%C3%A9&[x]={y}|^", "200 web"],
    ] as const)("%s, as over HTTP/1.1", async ([, path, outcome]) => {
      const { status, body } = await askHttp2(session, path);
      expect(`${status} ${body.trim()}`).toBe(outcome);
    });

    test("RFC 8441: a WebSocket on a stream reaches a backend that speaks it over HTTP/1.1", async () => {
      const sockets = new WebSocketServer({ server: web.server });
      sockets.on("connection", (socket) =>
        socket.on("message", (data) => socket.send(`echo ${(data as Buffer).toString()}`)),
      );
      const stream = session.request([
        ...[":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/chat"],
        ...[":authority", "a.example.com", "sec-websocket-version", "13"],
      ]);
      const bytes: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => bytes.push(chunk)).on("error", () => undefined);
      const status = await new Promise((resolve) => stream.once("response", (headers) => resolve(headers[":status"])));
      expect(status).toBe(200);
      // A masked text frame with the mask 0: "hi".
      stream.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
      await until("the echo", () => Buffer.concat(bytes).toString().includes("echo hi"));
      stream.close();
      sockets.close();
    });

    test("RFC 8441: a WebSocket reaches a backend of HTTP/2, whichever version its client speaks", async () => {
      two.answer = (stream, { headers }) => {
        stream.respond({ ":status": 200, "x-protocol": valuesOf(headers, ":protocol").join() });
        stream.on("data", (chunk: Buffer) => stream.write(chunk));
      };
      const stream = session.request([
        ...[":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/two/chat"],
        ...[":authority", "a.example.com", "sec-websocket-version", "13"],
      ]);
      stream.on("error", () => undefined);
      const answer = (await once(stream, "response"))[0] as Record<string, unknown>;
      expect([answer[":status"], answer["x-protocol"]]).toEqual([200, "websocket"]);
      stream.write("bytes");
      expect(String((await once(stream, "data"))[0])).toBe("bytes");
      stream.close();
      const client = new WebSocket(`ws://127.0.0.1:${rig.port}/two/chat`, { headers: { host: "a.example.com" } });
      const refused = once(client, "error");
      await once(client, "open");
      // It hears its own frame, which is masked and so none of a server.
      client.send("hi");
      expect(String((await refused)[0])).toContain("MASK");
      expect(two.seen.map(({ headers }) => valuesOf(headers, ":method"))).toEqual([["CONNECT"], ["CONNECT"]]);
      expect(two.seen.flatMap(({ headers }) => valuesOf(headers, "sec-websocket-key"))).toEqual([]);
    });

    test("RFC 8441: a WebSocket is 503 from a backend of HTTP/2 that closes before it has said what it can", async () => {
      const closing = await startRaw((socket) => socket.end());
      await rig.publish(
        serviceYaml("two", [closing.port]).replace("appProtocol: http", "appProtocol: kubernetes.io/h2c") +
          routeYaml("r", "hostnames: [a.example.com]\nrules: [{backendRefs: [{name: two, port: 80}]}]"),
      );
      const client = new WebSocket(`ws://127.0.0.1:${rig.port}/`, { headers: { host: "a.example.com" } });
      expect(String((await once(client, "error"))[0])).toContain("503");
      await closing.stop();
      await serve();
    });

    test.for([
      ["another key", "dGhlIHNhbXBsZSBub25jZQ==", 502],
      ["no key", "", 502],
      ["its key", undefined, 200],
    ] as const)(
      "RFC 6455 4.1: for a client of HTTP/2 a backend accepts a WebSocket by %s",
      async ([, other, status]) => {
        const accept = (key: string): string => createHash("sha1").update(`${key}${MAGIC}`).digest("base64");
        web.server.once("upgrade", ({ headers }, socket) => {
          const key = other ?? accept(String(headers["sec-websocket-key"]));
          const field = key === "" ? "" : `sec-websocket-accept: ${key}\r\n`;
          socket.end(`HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n${field}\r\n`);
        });
        const stream = session.request([
          ...[":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/chat"],
          ...[":authority", "a.example.com", "sec-websocket-version", "13"],
        ]);
        expect((await replyOf(stream)).status).toBe(status);
      },
    );

    test("P15: a WebSocket that a backend does not mean is its failure, and its connection is closed", async () => {
      await serve(
        "healthCheck: {passive: {consecutive5xx: 1, interval: 10s, ejectionTime: 10s, maxEjectionPercent: 100}}, ",
      );
      let closed = 0;
      web.server.once("upgrade", (_, socket) => {
        socket.on("error", () => undefined).on("end", () => socket.end());
        socket.on("close", () => closed++);
        socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
        socket.resume();
      });
      const ask = async (): Promise<string> => {
        const stream = session.request([
          ...[":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/chat"],
          ...[":authority", "a.example.com", "sec-websocket-version", "13"],
        ]);
        const { status, body } = await replyOf(stream);
        return `${status} ${body.trim()}`;
      };
      expect([await ask(), await ask()]).toEqual(["502 BadResponse", "503 NoHealthyEndpoints"]);
      await until("the backend is told", () => closed === 1);
      await serve();
    });

    test.for([
      ["a backend of HTTP/2 that answers otherwise", "/two", 418],
      ["a backend of HTTP/1.1 that answers success", "/", 502],
      ["a rule that answers itself", "/own", 501],
      ["a protocol that is none of ours", "/", 405],
    ] as const)("RFC 8441, B59: %s opens no WebSocket", async ([what, path, status]) => {
      two.answer = (stream) => {
        stream.respond({ ":status": 418 });
        stream.end();
      };
      await rig.publish(
        serviceYaml("web", [web.port]) +
          serviceYaml("two", [two.port]).replace("appProtocol: http", "appProtocol: kubernetes.io/h2c") +
          routeYaml(
            "r",
            "hostnames: [a.example.com]\nrules: [{matches: [{path: {value: /two}}], backendRefs: [{name: two, port: 80}]}, {matches: [{path: {value: /own}}], filters: [{type: DirectResponse, directResponse: {statusCode: 200, body: hi}}]}, {backendRefs: [{name: web, port: 80}]}]",
          ),
      );
      const protocol = what.startsWith("a protocol") ? "h2c" : "websocket";
      const stream = session.request([
        ...[":method", "CONNECT", ":protocol", protocol, ":scheme", "http", ":path", path],
        ...[":authority", "a.example.com", "sec-websocket-version", "13"],
      ]);
      expect((await replyOf(stream)).status).toBe(status);
      await serve();
    });

    test("a body over the limit is 413, and nothing waits for the rest", async () => {
      await serve("maxRequestBody: 1Ki, ");
      const reply = await askHttp2(session, "/two", { method: "POST", body: "x".repeat(100_000) });
      expect(reply.status).toBe(413);
      expect((await askHttp2(session, "/two", { method: "POST", body: "x" })).status).toBe(200);
    });
  });
}
