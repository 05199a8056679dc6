import { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import { joinPieces } from "../../src/proxy/join-pieces.ts";

const silent = (): Readable => {
  const stream = new Readable({ read: () => undefined });
  joinPieces(stream);
  return stream;
};
const byte = (at: number): Buffer => Buffer.from([at % 256]);
const bytes = (count: number): Buffer => Buffer.concat(Array.from({ length: count }, (_, at) => byte(at)));

test("what waits for its reader is one piece and blocks of the rest, however small it came", async () => {
  const stream = new Readable({ read: () => undefined });
  const push = stream.push.bind(stream);
  let kept = 0;
  stream.push = (piece) => {
    kept++;
    return push(piece);
  };
  joinPieces(stream);
  for (let at = 0; at < 10_000; at++) {
    stream.push(byte(at));
    if (at % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  stream.push(null);
  expect(kept).toBeLessThan(10);
  expect(Buffer.concat(await stream.toArray())).toEqual(bytes(10_000));
});

test("the first small piece of a turn of the event loop goes on at once, and those after it as one", async () => {
  const stream = silent();
  const heard: string[] = [];
  stream.on("data", (piece: Buffer) => heard.push(piece.toString()));
  const turn = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  for (const pieces of ["abc", "def", "g"]) {
    for (const piece of pieces) stream.push(Buffer.from(piece));
    await turn();
  }
  stream.push(Buffer.from("h"));
  stream.push(Buffer.alloc(512, "x"));
  stream.push(Buffer.from("i"));
  stream.push(null);
  await finished(stream);
  expect(heard).toEqual(["a", "bc", "d", "ef", "g", "h", "x".repeat(512), "i"]);
});

test("a sender is told that it is enough by bytes, whether they have been joined or not", () => {
  const stream = silent();
  let sent = 0;
  while (stream.push(byte(sent))) sent++;
  expect(sent + 1).toBe(stream.readableHighWaterMark);
});

test("who keeps few bytes that were joined keeps no more than them", async () => {
  const stream = silent();
  const heard: Buffer[] = [];
  stream.on("data", (piece: Buffer) => heard.push(piece));
  for (const piece of ["a", "b", "c"]) stream.push(Buffer.from(piece));
  await new Promise((resolve) => setImmediate(resolve));
  expect(heard.map(String)).toEqual(["a", "bc"]);
  expect(heard[1]?.buffer.byteLength).toBe(2);
});

test("whoever keeps up gets each piece when it comes", () => {
  const stream = silent();
  const heard: string[] = [];
  stream.on("data", (piece: Buffer) => heard.push(piece.toString()));
  stream.resume();
  stream.read();
  for (const piece of ["a", "b", "c"]) {
    stream.push(Buffer.from(piece));
    stream.read();
  }
  expect(heard.join("")).toBe("abc");
});

const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 500, max: 9000 })), {
  maxLength: 200,
});

/** Sends pieces of these sizes; the reader is let in, or held up, as `turns` says. */
async function carried(stream: Readable, all: readonly number[], turn: (i: number) => void): Promise<Buffer> {
  const sent: Buffer[] = [];
  for (const [i, size] of all.entries()) {
    const piece = Buffer.alloc(size, i);
    sent.push(piece);
    stream.push(piece);
    turn(i);
    if (i % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  stream.push(null);
  return Buffer.concat(sent);
}

test("nothing is lost, doubled or out of order, read by iteration", async () => {
  await fc.assert(
    fc.asyncProperty(sizes, async (all) => {
      const stream = silent();
      const reading = (async () => {
        const got: Buffer[] = [];
        for await (const piece of stream) {
          got.push(piece as Buffer);
          if (got.length % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        return Buffer.concat(got);
      })();
      const sent = await carried(stream, all, () => undefined);
      expect((await reading).equals(sent)).toBe(true);
    }),
  );
});

test("nothing is lost, doubled or out of order, read by events with pauses", async () => {
  await fc.assert(
    fc.asyncProperty(sizes, fc.array(fc.boolean(), { minLength: 1 }), async (all, turns) => {
      const stream = silent();
      const got: Buffer[] = [];
      stream.on("data", (piece: Buffer) => got.push(piece));
      const sent = await carried(stream, all, (i) => {
        if (turns[i % turns.length] === true) stream.pause();
        else stream.resume();
      });
      stream.resume();
      await finished(stream);
      expect(Buffer.concat(got).equals(sent)).toBe(true);
    }),
  );
});
