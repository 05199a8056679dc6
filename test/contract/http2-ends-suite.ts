import { once } from "node:events";
import { createServer } from "node:http2";
import { type AddressInfo, connect } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect } from "vitest";
import { test } from "../support/contract.ts";
import { Backend, startRaw } from "../support/backend.ts";
import { type DataPlaneRig, until } from "../support/data-plane.ts";
import { Http2Backend, askHttp2, openHttp2, replyOf, valuesOf } from "../support/http2.ts";
import {
  END_HEADERS,
  END_STREAM,
  FrameClient,
  REQUEST,
  TYPE,
  frame,
  headerBlock,
  uint32,
} from "../support/http2-frames.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

const h2c = (yaml: string): string => yaml.replace("appProtocol: http", "appProtocol: kubernetes.io/h2c");
const POST: readonly (readonly [string, string])[] = [
  [":method", "POST"],
  ...REQUEST.filter(([name]) => name !== ":method"),
];

/** Ends of HTTP/2 streams and connections that are easily taken for something else, on any data plane. */
export function describeHttp2Ends(name: string, start: () => Promise<DataPlaneRig>): void {
  describe(`${name}: ends of HTTP/2`, () => {
    let rig: DataPlaneRig;
    const web = new Backend("web");
    let two: Http2Backend;
    const closers: (() => unknown)[] = [];

    beforeAll(async () => {
      await web.start();
      two = await new Http2Backend().start();
      rig = await start();
    });
    afterAll(async () => {
      await rig.close();
      await Promise.all([web.stop(), two.stop()]);
    });
    afterEach(async () => {
      for (const close of closers.splice(0)) close();
      expect((await rig.ask("/one", { host: "after.example.com" })).status, "the process lives").toBe(404);
      web.seen.length = two.seen.length = 0;
      web.answer = (_request, response) => response.end("web");
    });

    const serve = async (rule = "", port = two.port): Promise<void> =>
      rig.publish(
        serviceYaml("web", [web.port]) +
          h2c(serviceYaml("two", [port])) +
          routeYaml(
            "r",
            `hostnames: [a.example.com]\nrules: [{${rule}matches: [{path: {value: /one}}], backendRefs: [{name: web, port: 80}]}, {${rule}backendRefs: [{name: two, port: 80}]}]`,
          ),
      );
    const frames = async (): Promise<FrameClient> => {
      const client = await FrameClient.open(rig.port);
      closers.push(() => client.destroy());
      return client;
    };
    const session = async () => {
      const made = await openHttp2(`http://127.0.0.1:${rig.port}`);
      closers.push(() => made.destroy());
      return made;
    };

    const connections = async (): Promise<number> =>
      Number(/^serviceroute_connections ([0-9]+)/m.exec(await rig.metrics())?.[1]);

    test.for(["http2-settings", "x-forwarded-for", "connection", "authorization"])(
      "S20, B54: a trailer named %s goes nowhere, and ends nothing, on either way",
      async (trailer) => {
        two.answer = (stream) => {
          stream.respond({ ":status": 200 }, { waitForTrailers: true });
          stream.on("wantTrailers", () => stream.sendTrailers({ "x-good": "1", "x-real-ip": "1" }));
          stream.resume().on("end", () => stream.end("done"));
        };
        await serve();
        const client = await frames();
        client.send(frame(TYPE.HEADERS, END_HEADERS, 1, headerBlock(POST)));
        client.send(frame(TYPE.DATA, 0, 1, Buffer.from("x")));
        client.send(
          frame(
            TYPE.HEADERS,
            END_HEADERS | END_STREAM,
            1,
            headerBlock([
              [trailer, "6.6.6.6"],
              ["x-sum", "7"],
            ]),
          ),
        );
        await until(
          "an end",
          () =>
            client.closed ||
            client.has(TYPE.RST_STREAM, 1) ||
            client.frames.some(({ type, flags }) => type !== TYPE.SETTINGS && (flags & END_STREAM) !== 0),
        );
        expect(two.seen.flatMap(({ trailers }) => trailers).filter((text) => text === trailer)).toEqual([]);
        const reply = await askHttp2(await session(), "/", { method: "POST", body: "x" });
        expect(valuesOf(reply.trailers, "x-real-ip")).toEqual([]);
        expect(valuesOf(reply.trailers, "x-good")).toEqual(["1"]);
      },
    );

    test("S21: a client that has said goodbye and does not close is cut off, and costs nobody anything", async () => {
      await serve();
      const before = await connections();
      const socket = connect({ port: rig.port, host: "127.0.0.1", allowHalfOpen: true });
      closers.push(() => socket.destroy());
      socket.on("error", () => undefined).resume();
      const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
      const goaway = frame(TYPE.GOAWAY, 0, 0, Buffer.concat([uint32(0), uint32(0)]));
      socket.write(Buffer.concat([preface, frame(TYPE.SETTINGS, 0, 0), goaway]));
      await until("it is counted", async () => (await connections()) > before);
      await until("it has lost its place", async () => (await connections()) === before, 8000);
    });

    test("S21: a client that leaves with its streams reset loses its place, though answers were on their way", async () => {
      await rig.publish(
        routeYaml(
          "r",
          "hostnames: [a.example.com]\nrules: [{filters: [{type: DirectResponse, directResponse: {statusCode: 200, body: hi}}]}]",
        ),
      );
      const before = await connections();
      const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
      const streams = Array.from({ length: 8 }, (_, i) => 1 + 2 * i);
      const bytes = Buffer.concat([
        preface,
        frame(TYPE.SETTINGS, 0, 0),
        ...streams.map((stream) => frame(TYPE.HEADERS, END_STREAM | END_HEADERS, stream, headerBlock(REQUEST))),
        ...streams.map((stream) => frame(TYPE.RST_STREAM, 0, stream, uint32(0))),
        frame(TYPE.GOAWAY, 0, 0, Buffer.concat([uint32(0), uint32(0)])),
      ]);
      for (let i = 0; i < 20; i++) {
        const socket = connect(rig.port, "127.0.0.1", () => socket.end(bytes));
        closers.push(() => socket.destroy());
        socket.on("error", () => undefined).resume();
        await once(socket, "connect");
      }
      await until("they have lost their places", async () => (await connections()) === before, 8000);
    });

    test("a backend of HTTP/2 that takes no requests collects no connections", async () => {
      const none = createServer({ settings: { maxConcurrentStreams: 0 } });
      let open = 0;
      none.on("session", (session) => {
        open++;
        session.on("close", () => open--).on("error", () => undefined);
      });
      none.listen(0, "127.0.0.1");
      await once(none, "listening");
      closers.push(() => none.close());
      await serve("timeouts: {request: 100ms}, ", (none.address() as AddressInfo).port);
      const asked = await session();
      for (let i = 0; i < 20; i++) expect((await askHttp2(asked, "/")).status).toBeGreaterThanOrEqual(500);
      await until("they are closed", () => open <= 1, 3000);
    });

    test("S20: a backend's trailers may be named like parts of objects", async () => {
      two.answer = (stream) => {
        stream.respond({ ":status": 200 }, { waitForTrailers: true });
        const named = Object.assign(Object.create(null) as object, { constructor: "1", __proto__: "2" });
        stream.on("wantTrailers", () => stream.sendTrailers(named));
        stream.end("done");
      };
      await serve();
      const reply = await askHttp2(await session(), "/");
      expect([reply.body, valuesOf(reply.trailers, "constructor")]).toEqual(["done", ["1"]]);
    });

    test("what a rule sets or takes away does not come in through a trailer", async () => {
      two.answer = (stream) => {
        stream.respond({ ":status": 200 }, { waitForTrailers: true });
        stream.on("wantTrailers", () =>
          stream.sendTrailers({ "x-secret": "1", "x-good": "2", "x-serviceroute-hops": "0" }),
        );
        stream.resume().on("end", () => stream.end("done"));
      };
      await serve(
        "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x-admin], set: [{name: x-user, value: nobody}]}}, {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [x-secret]}}], ",
      );
      const trailers = { "x-admin": "1", "x-user": "root", "x-request-id": "forged", "x-sum": "7" };
      const reply = await askHttp2(await session(), "/", { method: "POST", body: "x", trailers });
      expect(two.seen[0]?.trailers).toEqual(["x-sum", "7"]);
      expect(reply.trailers).toEqual(["x-good", "2"]);
    });

    test("a status that HTTP does not have is 502, from either kind of backend", async () => {
      const odd = await startRaw((socket) =>
        socket.once("data", () => socket.write("HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n")),
      );
      closers.push(odd.stop);
      two.answer = (stream) => stream.respond({ ":status": 599 }, { endStream: true });
      await serve();
      expect((await askHttp2(await session(), "/")).status).toBe(599);
      await rig.publish(
        serviceYaml("web", [odd.port]) +
          routeYaml("r", "hostnames: [a.example.com]\nrules: [{backendRefs: [{name: web, port: 80}]}]"),
      );
      expect((await askHttp2(await session(), "/")).status).toBe(502);
    });

    test("a client that ends its connection without a word leaves nothing behind", async () => {
      await serve();
      web.answer = () => undefined;
      const before = await connections();
      for (const bytes of [
        frame(TYPE.HEADERS, END_HEADERS | END_STREAM, 1, headerBlock(REQUEST)),
        frame(TYPE.HEADERS, END_HEADERS, 1, headerBlock(POST)),
        Buffer.alloc(0),
      ]) {
        const client = await FrameClient.open(rig.port);
        client.send(bytes);
        await until("it is counted", async () => (await connections()) > before);
        client.end();
      }
      await until("all are gone", async () => (await connections()) <= before);
    });

    test("D37: an answer that a backend resets without an error is broken off all the same", async () => {
      const raw = await startRaw((socket) => {
        socket.once("data", () => {
          socket.write(frame(TYPE.SETTINGS, 0, 0));
          setTimeout(() => {
            socket.write(frame(TYPE.HEADERS, END_HEADERS, 1, Buffer.from([0x88])));
            socket.write(frame(TYPE.DATA, 0, 1, Buffer.from("half")));
            socket.write(frame(TYPE.RST_STREAM, 0, 1, uint32(0)));
            setTimeout(() => socket.destroy(), 20);
          }, 30);
        });
      });
      closers.push(raw.stop);
      await serve("", raw.port);
      await expect(rig.ask("/")).rejects.toThrow();
      await until("its connection is gone", () => raw.sockets() === 0);
      const reply = await askHttp2(await session(), "/");
      expect(reply.code === 0 && reply.status === 200).toBe(false);
    });

    test("an answer that comes before the request is whole arrives whole itself, trailers and all", async () => {
      let isWhole = false;
      two.answer = (stream) => {
        stream.on("end", () => (isWhole = !stream.aborted));
        stream.respond({ ":status": 200 }, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "8" }));
        stream.write("early");
        setTimeout(() => stream.end(), 20);
      };
      await serve();
      const stream = (await session()).request(
        [":method", "POST", ":path", "/", ":scheme", "http", ":authority", "a.example.com"],
        { endStream: false },
      );
      stream.write("first part,");
      const reply = await replyOf(stream);
      expect([reply.status, reply.body, valuesOf(reply.trailers, "grpc-status")]).toEqual([200, "early", ["8"]]);
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(isWhole, "the backend takes half a request for a whole one").toBe(false);
    });

    test("a client that takes its time with its body ejects nobody", async () => {
      await serve(
        "timeouts: {idle: 100ms}, healthCheck: {passive: {consecutive5xx: 2, ejectionTime: 10s, maxEjectionPercent: 100}}, ",
      );
      web.answer = (_request, response) => response.end("web");
      for (let i = 0; i < 3; i++) {
        const slow = connect(rig.port, "127.0.0.1");
        slow.on("error", () => undefined).resume();
        slow.write("POST /one HTTP/1.1\r\nhost: a.example.com\r\ncontent-length: 100\r\n\r\nabc");
        await new Promise((resolve) => slow.once("end", resolve).once("close", resolve).once("data", resolve));
        slow.destroy();
      }
      expect((await rig.ask("/one")).status).toBe(200);
    });

    test("a connection to a backend that has gone silent is left for a new one", async () => {
      const silent = new Set<unknown>();
      two.answer = (stream) => {
        if (silent.has(stream.session)) return;
        stream.respond({ ":status": 200 });
        stream.end("h2");
      };
      await serve("timeouts: {backendRequest: 150ms}, retry: {attempts: 1}, ");
      expect((await rig.ask("/")).status).toBe(200);
      for (const session of two.sessions) silent.add(session);
      for (let i = 0; i < 3; i++) expect((await rig.ask("/")).status).toBe(200);
    });

    test("a client that gives no window for its answer does not keep it for ever", async () => {
      await serve("timeouts: {idle: 300ms}, ");
      const client = await frames();
      client.send(frame(TYPE.SETTINGS, 0, 0, Buffer.concat([Buffer.from([0, 4]), uint32(0)])));
      client.send(
        frame(
          TYPE.HEADERS,
          END_HEADERS | END_STREAM,
          1,
          headerBlock(REQUEST.map(([n, v]) => [n, n === ":path" ? "/one" : v] as const)),
        ),
      );
      await until("it is reset", () => client.closed || client.has(TYPE.RST_STREAM, 1));
    });

    test("a refused upgrade leaves no connection behind, whatever its client still sends", async () => {
      await serve();
      web.answer = (_request, response) => void setTimeout(() => response.writeHead(403).end(), 60);
      const before = await connections();
      for (let i = 0; i < 5; i++) {
        const socket = connect(rig.port, "127.0.0.1");
        socket.on("error", () => undefined).resume();
        socket.write("GET /one HTTP/1.1\r\nhost: a.example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
        setTimeout(() => socket.write("more"), 20);
        await new Promise((resolve) => socket.once("close", resolve));
      }
      await until("all are closed", async () => (await connections()) <= before, 3000);
    });
  });
}
