import { Writable } from "node:stream";
import { expect, test } from "vitest";
import { SmallPieces } from "../../src/proxy/small-pieces.ts";

test("small pieces are counted beside their bytes, and large ones by their bytes alone", async () => {
  const taken: (() => void)[] = [];
  const stream = new Writable({ highWaterMark: 1_000_000, write: (_chunk, _encoding, done) => void taken.push(done) });
  let drained = 0;
  stream.on("drain", () => drained++);
  const pieces = new SmallPieces(stream);
  let written = 0;
  while (pieces.write(Buffer.from("x"))) written++;
  expect(written).toBe(255);
  expect(pieces.write(Buffer.alloc(1000))).toBe(false);
  expect(drained).toBe(0);
  while (taken.length > 0) {
    taken.shift()?.();
    await new Promise(setImmediate);
  }
  expect(drained).toBe(1);
  for (let i = 0; i < 500; i++) expect(pieces.write(Buffer.alloc(1000))).toBe(true);
});
