import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from "vitest";
import { test } from "../support/contract.ts";
import { Backend, startRaw } from "../support/backend.ts";
import { type DataPlaneRig, until } from "../support/data-plane.ts";
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

type Pairs = readonly (readonly [string, string])[];
const without = (name: string): Pairs => REQUEST.filter(([one]) => one !== name);
const MIB = 1024 * 1024;
const END = END_STREAM | END_HEADERS;
/** Written until the other end hangs up, at most so often. */
const ROUNDS = 200;

/** Frames that no client would send, on any data plane. */
export function describeHttp2Attacks(name: string, start: () => Promise<DataPlaneRig>): void {
  describe(`${name}: hostile HTTP/2`, () => {
    let rig: DataPlaneRig;
    let client: FrameClient;
    const web = new Backend("web");

    beforeAll(async () => {
      await web.start();
      rig = await start();
      await rig.publish(
        serviceYaml("web", [web.port]) + routeYaml("r", "rules: [{backendRefs: [{name: web, port: 80}]}]"),
      );
    });
    afterAll(async () => {
      await rig.close();
      await web.stop();
    });
    beforeEach(async () => {
      web.seen.length = 0;
      client = await FrameClient.open(rig.port);
    });
    afterEach(async () => {
      client.destroy();
      expect((await rig.ask("/after")).status, "others are served").toBe(200);
    });

    test("what these tests send is a request when nothing is wrong with it", async () => {
      client.send(frame(TYPE.HEADERS, END, 1, headerBlock(REQUEST)));
      await until("an answer", () => client.has(TYPE.DATA, 1));
      expect(web.seen).toHaveLength(1);
    });

    test.for<[string, Pairs]>([
      ["a name in capitals", [...REQUEST, ["X-Upper", "1"]]],
      ["connection", [...REQUEST, ["connection", "close"]]],
      ["transfer-encoding", [...REQUEST, ["transfer-encoding", "chunked"]]],
      ["te beyond trailers", [...REQUEST, ["te", "gzip"]]],
      ["no :path", without(":path")],
      ["an empty :path", [...without(":path"), [":path", ""]]],
      ["two :path", [...REQUEST, [":path", "/b"]]],
      ["two :authority", [...REQUEST, [":authority", "b.example.com"]]],
      ["an unknown pseudo-header", [...REQUEST, [":evil", "1"]]],
      ["a pseudo-header after a header", [["x-a", "1"], ...REQUEST]],
    ])("B57: %s is a stream error, or 400", async ([, pairs]) => {
      client.send(frame(TYPE.HEADERS, END, 1, headerBlock(pairs)));
      await until(
        "it is refused",
        () => client.closed || client.has(TYPE.RST_STREAM) || client.has(TYPE.GOAWAY) || client.has(TYPE.HEADERS, 1),
      );
      expect(web.seen).toHaveLength(0);
      const [answer] = client.frames.filter((one) => one.type === TYPE.HEADERS);
      // 0x8c is :status 400 in HPACK's static table.
      expect(answer?.payload[0] ?? 0x8c).toBe(0x8c);
    });

    test.for<[string, readonly [string, string]]>([
      ["a line feed in a value", ["x-a", "1\r\nx-b: 2"]],
      ["a NUL in a value", ["x-a", "1\0"]],
      ["a blank in a name", ["x a", "1"]],
      ["a colon in a name", ["x:a", "1"]],
    ])("B57: a field with %s is refused or left out, whole", async ([, field]) => {
      client.send(frame(TYPE.HEADERS, END, 1, headerBlock([...REQUEST, field])));
      await until("something comes", () => client.closed || client.has(TYPE.RST_STREAM) || client.has(TYPE.HEADERS, 1));
      const names = web.seen.flatMap(({ headers }) => headers.filter((_, i) => i % 2 === 0));
      expect(names.filter((one) => /^x(?:-[ab]|[ :]a|)$/i.test(one))).toEqual([]);
    });

    test.for<[string, string, string]>([
      ["more than said", "3", "hello"],
      ["less than said", "9", "hello"],
    ])("B57: a body of %s never reaches a backend as a whole one", async ([, length, body]) => {
      const pairs: Pairs = [...without(":method"), [":method", "POST"]].sort() as unknown as Pairs;
      client.send(frame(TYPE.HEADERS, END_HEADERS, 1, headerBlock([...pairs, ["content-length", length]])));
      client.send(frame(TYPE.DATA, END_STREAM, 1, Buffer.from(body)));
      await until("it is refused", () => client.closed || client.has(TYPE.RST_STREAM, 1) || client.has(TYPE.GOAWAY));
      expect(web.seen).toHaveLength(0);
    });

    test("B57: trailers with a pseudo-header never make a request whole", async () => {
      const pairs: Pairs = [[":method", "POST"], ...without(":method")];
      client.send(frame(TYPE.HEADERS, END_HEADERS, 1, headerBlock(pairs)));
      client.send(frame(TYPE.DATA, 0, 1, Buffer.from("x")));
      client.send(frame(TYPE.HEADERS, END, 1, headerBlock([[":path", "/b"]])));
      await until("it is refused", () => client.closed || client.has(TYPE.RST_STREAM, 1) || client.has(TYPE.GOAWAY));
      expect(web.seen).toHaveLength(0);
    });

    /** Sends the rounds of a flood; what the process has grown by, in MiB, when it is over. */
    const flood = async (round: (i: number) => Buffer): Promise<number> => {
      const before = process.memoryUsage().rss;
      for (let i = 0; i < ROUNDS && !client.closed; i++) {
        await client.sendAll(round(i));
        if (i % 20 === 0) expect((await rig.ask("/during")).status).toBe(200);
      }
      return (process.memoryUsage().rss - before) / MIB;
    };
    const many = (count: number, one: (i: number) => Buffer): Buffer =>
      Buffer.concat(Array.from({ length: count }, (_, i) => one(i)));

    /** Sends hundreds of something, and waits for the other end each time. @returns How many it took to be hung up on. */
    const hundreds = async (one: (stream: number) => Buffer): Promise<number> => {
      for (let i = 0; i < ROUNDS; i++) {
        const bytes = many(100, (j) => one(1 + 2 * (100 * i + j)));
        const pings = client.frames.filter(({ type }) => type === TYPE.PING).length;
        await client.sendAll(Buffer.concat([bytes, frame(TYPE.PING, 0, 0, Buffer.alloc(8))]));
        await until(
          "it has looked at them",
          () => client.closed || client.frames.filter(({ type }) => type === TYPE.PING).length > pings,
        );
        if (client.closed) return i + 1;
      }
      return Infinity;
    };

    test("B58, S19: streams that are reset at once end their connection, after a few hundred", async () => {
      const before = process.memoryUsage().rss;
      const taken = await hundreds((stream) =>
        Buffer.concat([
          frame(TYPE.HEADERS, END, stream, headerBlock(REQUEST)),
          frame(TYPE.RST_STREAM, 0, stream, uint32(8)),
        ]),
      );
      expect(taken).toBeLessThanOrEqual(4);
      expect((process.memoryUsage().rss - before) / MIB).toBeLessThan(100);
    });

    test("B58: streams that are no requests end their connection, after a hundred or two", async () => {
      const malformed = headerBlock([...REQUEST, ["X-Upper", "1"]]);
      expect(await hundreds((stream) => frame(TYPE.HEADERS, END, stream, malformed))).toBeLessThanOrEqual(3);
      expect(web.seen).toHaveLength(0);
    });

    test("B58: a few that are reset, or no requests, cost others on their connection nothing", async () => {
      for (let stream = 1; stream < 80; stream += 4) {
        client.send(frame(TYPE.HEADERS, END, stream, headerBlock(REQUEST)));
        client.send(frame(TYPE.RST_STREAM, 0, stream, uint32(8)));
        client.send(frame(TYPE.HEADERS, END, stream + 2, headerBlock([...REQUEST, ["X-Upper", "1"]])));
      }
      client.send(frame(TYPE.HEADERS, END, 101, headerBlock(REQUEST)));
      await until("the last is served", () => client.closed || client.has(TYPE.DATA, 101));
      expect(client.closed).toBe(false);
    });

    test("B58: headers of more than there is room for are an answer where they can be, and end nothing", async () => {
      const fields = Array.from({ length: 500 }, (_, i) => [`x-${i}`, "1"] as const);
      client.send(frame(TYPE.HEADERS, END, 1, headerBlock([...REQUEST, ...fields])));
      await until(
        "it is answered",
        () => client.closed || client.has(TYPE.RST_STREAM, 1) || client.has(TYPE.HEADERS, 1),
      );
      expect([client.closed, client.has(TYPE.HEADERS, 1)]).toEqual([false, true]);
      expect(web.seen).toHaveLength(0);
    });

    test("B58: a header block without an end ends its connection", async () => {
      client.send(frame(TYPE.HEADERS, END_STREAM, 1, headerBlock(REQUEST)));
      const grown = await flood(() =>
        many(100, () => frame(TYPE.CONTINUATION, 0, 1, headerBlock([["x-a", "a".repeat(1000)]]))),
      );
      await until("the connection ends", () => client.closed);
      expect(grown).toBeLessThan(100);
    });

    test.for<[string, Buffer]>([
      ["SETTINGS", frame(TYPE.SETTINGS, 0, 0, Buffer.concat([Buffer.from([0, 4]), uint32(65_535)]))],
      ["PING", frame(TYPE.PING, 0, 0, Buffer.alloc(8))],
      ["unknown frames", frame(0xbe, 0, 0, Buffer.alloc(8))],
    ])("B58: a flood of %s that reads no answer costs bounded memory", async ([, bytes]) => {
      expect(await flood(() => many(500, () => bytes))).toBeLessThan(100);
    });

    test("B58: a flood of empty DATA costs bounded memory", async () => {
      client.send(frame(TYPE.HEADERS, END_HEADERS, 1, headerBlock([[":method", "POST"], ...without(":method")])));
      expect(await flood(() => many(500, () => frame(TYPE.DATA, 0, 1)))).toBeLessThan(100);
    });

    test("B58: single bytes that nobody reads cost bounded memory", async () => {
      const deaf = await startRaw((socket) => socket.pause());
      await rig.publish(
        serviceYaml("web", [web.port]) +
          serviceYaml("deaf", [deaf.port]) +
          routeYaml("r", "rules: [{backendRefs: [{name: web, port: 80}]}]") +
          routeYaml("deaf", "hostnames: [deaf.example.com]\nrules: [{backendRefs: [{name: deaf, port: 80}]}]"),
      );
      const pairs: Pairs = [[":method", "POST"], [":authority", "deaf.example.com"], ...without(":method")];
      const block = headerBlock(pairs.filter((one, i) => one[0] !== ":authority" || i === 1));
      const streams = Array.from({ length: 40 }, (_, i) => 1 + 2 * i);
      for (const stream of streams) client.send(frame(TYPE.HEADERS, END_HEADERS, stream, block));
      await until("all are on their way", () => deaf.sockets() === streams.length);
      const before = process.memoryUsage().rss;
      for (let sent = 0; sent < 60_000; sent += 1000)
        for (const stream of streams)
          await client.sendAll(many(1000, () => frame(TYPE.DATA, 0, stream, Buffer.from("x"))));
      // Kept one by one they were some 400.
      expect((process.memoryUsage().rss - before) / MIB).toBeLessThan(200);
      client.destroy();
      await deaf.stop();
    });

    test("B58: a window that overflows ends its connection", async () => {
      await flood(() => many(2, () => frame(TYPE.WINDOW_UPDATE, 0, 0, uint32(0x7fffffff))));
      await until("the connection ends", () => client.closed);
    });

    test("B58: more streams than are allowed are refused", async () => {
      web.answer = () => undefined;
      client.send(many(150, (i) => frame(TYPE.HEADERS, END, 1 + 2 * i, headerBlock(REQUEST))));
      await until(
        "some are refused",
        () => client.closed || client.frames.filter((one) => one.type === TYPE.RST_STREAM).length >= 50,
      );
      expect(web.seen.length).toBeLessThanOrEqual(100);
      client.destroy();
      web.answer = (_request, response) => response.end("web");
    });

    test("B58: headers that are short on the wire and long behind it are bounded", async () => {
      const bombed: Pairs = [...without(":path"), [":path", "/bomb"]];
      // One entry of 3,500 bytes goes into the table; each byte of a block then stands for all of it.
      const entry = Buffer.concat([Buffer.from([0x40]), headerBlock([["x-bomb", "b".repeat(3500)]]).subarray(1)]);
      client.send(frame(TYPE.HEADERS, END, 1, Buffer.concat([headerBlock(bombed), entry])));
      await until("the first is served", () => client.has(TYPE.HEADERS, 1));
      const bomb = Buffer.concat([headerBlock(bombed), Buffer.alloc(10_000, 0xbe)]);
      client.send(frame(TYPE.HEADERS, END, 3, bomb));
      await until(
        "it is refused",
        () => client.closed || client.has(TYPE.RST_STREAM, 3) || client.has(TYPE.GOAWAY) || client.has(TYPE.HEADERS, 3),
      );
      expect(web.seen.filter(({ url }) => url === "/bomb").length).toBeLessThanOrEqual(1);
    });
  });
}
