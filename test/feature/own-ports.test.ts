import { once } from "node:events";
import { type Socket, connect } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { HttpEndpoint, type Reply, text } from "../../src/telemetry/http-endpoint.ts";
import { until } from "../support/data-plane.ts";
import { PREFACE, TYPE, frame, headerBlock, REQUEST } from "../support/http2-frames.ts";
import { WEB, cleanups, rigWith } from "../support/gateway-rig.ts";
import { fc } from "../support/property.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

async function open(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  sockets.push(socket);
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

/** Whether with an error or without. */
async function closed(socket: Socket): Promise<void> {
  if (!socket.destroyed) await new Promise<void>((resolve) => socket.once("close", () => resolve()));
}

/** Sends bytes and goes, sooner or later, and one way or another. */
async function throwAt(port: number, bytes: Uint8Array, ends: "reset" | "fin" | "stay"): Promise<void> {
  const socket = await open(port);
  socket.resume().write(bytes);
  if (ends === "reset") socket.resetAndDestroy();
  else if (ends === "fin") socket.end();
  const limit = setTimeout(() => socket.destroy(), 50);
  await closed(socket);
  clearTimeout(limit);
}

const ending = fc.constantFrom("reset", "fin", "stay");

describe("the ports for health, metrics and tables", () => {
  const LONG = "x".repeat(1_000_000);

  async function endpoint(host = "127.0.0.1"): Promise<{ port: number; renders: () => number }> {
    let renders = 0;
    const handler = (): Reply => {
      renders++;
      return text(LONG);
    };
    const one = new HttpEndpoint({ host, port: 0 }, { "/metrics": handler, "/readyz": () => text("ok") });
    cleanups.push(async () => one.close());
    return { port: (await one.listen()).port, renders: () => renders };
  }
  const isReady = async (port: number): Promise<boolean> =>
    (await fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(5000) })).ok;

  test("S11: who asks a thousand times and reads nothing gets one answer made, and is cut off", async () => {
    const { port, renders } = await endpoint();
    const greedy = await open(port);
    greedy.pause().write("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1000));
    await until("it is asked", () => renders() > 0);
    expect(await isReady(port)).toBe(true);
    expect(renders()).toBe(1);
    greedy.resume();
    await closed(greedy);
  });

  test("S11: connections that only stand there keep nobody out", async () => {
    const { port } = await endpoint();
    const standing: Socket[] = [];
    for (let i = 0; i < 200; i++) standing.push(await open(port));
    expect(await isReady(port)).toBe(true);
    await until("the first are gone", () => standing.filter(({ destroyed }) => destroyed).length >= 130);
  });

  test.for([
    ["localhost", 200],
    ["LOCALHOST:9090", 200],
    ["127.0.0.1:9090", 200],
    ["[::1]:9090", 200],
    ["192.0.2.1", 200],
    ["evil.example.com", 421],
    ["127.0.0.1.evil.example.com:9090", 421],
    ["", 421],
  ] as const)(
    "S7: on loopback, a page that has its own name lead here (%s) reads nothing: %s",
    async ([host, status]) => {
      const { port } = await endpoint();
      const socket = await open(port);
      socket.write(`GET /readyz HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
      expect(String((await once(socket, "data"))[0])).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    },
  );

  test.for(["LocalHost", "::ffff:127.0.0.1", "127.0.0.2"])(
    "S7: loopback is loopback however it is written: %s",
    async (host) => {
      const { port } = await endpoint(host);
      const socket = connect(port, host);
      sockets.push(socket);
      socket.write("GET /readyz HTTP/1.1\r\nhost: evil.example.com\r\n\r\n");
      expect(String((await once(socket, "data"))[0])).toMatch(/^HTTP\/1.1 421 /);
    },
  );

  test("S11: no bytes end the process", async () => {
    const { port } = await endpoint();
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc
        .constantFrom(
          "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n",
          "GET //[ HTTP/1.1\r\nhost: localhost\r\n\r\n",
          "POST /readyz HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
          "GET http://a:99999/%zz HTTP/1.1\r\nhost: localhost\r\n\r\n",
          "CONNECT a:1 HTTP/1.1\r\nhost: localhost\r\n\r\n",
          "GET /readyz HTTP/1.1\r\nhost: localhost\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
          `GET / HTTP/1.1\r\nhost: localhost\r\nx: ${"y".repeat(20_000)}\r\n\r\n`,
        )
        .map((one) => Buffer.from(one)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 6 }), ending, async (pieces, ends) => {
        await throwAt(port, Buffer.concat(pieces), ends);
      }),
      { numRuns: 300 },
    );
    expect(await isReady(port)).toBe(true);
  });
});

test("S11: no frames of HTTP/2 end the gateway, or stay behind in it", async () => {
  const { rig, web } = await rigWith();
  await rig.publish(serviceYaml("web", [web.port]) + routeYaml("r", WEB));
  const stream = fc.nat({ max: 9 });
  const bytes = (max: number): fc.Arbitrary<Buffer> =>
    fc.uint8Array({ maxLength: max }).map((array) => Buffer.from(array));
  const block = fc
    .tuple(
      fc.subarray([...REQUEST], { minLength: 3 }),
      fc.subarray<readonly [string, string]>([
        ["content-length", "1"],
        ["te", "trailers"],
        ["connection", "close"],
        [":protocol", "websocket"],
        ["Host", "a"],
        ["cookie", "a=b"],
        ["x", "\n"],
      ]),
    )
    .map(([pseudo, more]) => headerBlock([...pseudo, ...more]));
  const any = fc.oneof(
    fc
      .tuple(fc.constantFrom(4, 5, 0, 36, 13), stream, fc.oneof(block, bytes(200)))
      .map(([flags, id, payload]) => frame(TYPE.HEADERS, flags, id, payload)),
    fc
      .tuple(fc.nat({ max: 255 }), stream, bytes(500))
      .map(([flags, id, payload]) => frame(TYPE.DATA, flags, id, payload)),
    fc.tuple(stream, bytes(6)).map(([id, payload]) => frame(TYPE.RST_STREAM, 0, id, payload)),
    fc.tuple(stream, bytes(6)).map(([id, payload]) => frame(TYPE.WINDOW_UPDATE, 0, id, payload)),
    fc.tuple(fc.nat({ max: 1 }), bytes(40)).map(([flags, payload]) => frame(TYPE.SETTINGS, flags, 0, payload)),
    fc
      .tuple(fc.nat({ max: 255 }), fc.nat({ max: 255 }), stream, bytes(100))
      .map(([type, flags, id, payload]) => frame(type, flags, id, payload)),
  );
  const start = Buffer.concat([Buffer.from(PREFACE), frame(TYPE.SETTINGS, 0, 0)]);
  await fc.assert(
    fc.asyncProperty(fc.array(any, { maxLength: 40 }), ending, async (frames, ends) => {
      await throwAt(rig.port, Buffer.concat([start, ...frames]), ends);
    }),
    { numRuns: 300 },
  );
  expect((await rig.ask("/")).body).toBe("web");
  await until("nothing is left", async () => /serviceroute_connections [01]$/m.test(await rig.metrics()));
});
