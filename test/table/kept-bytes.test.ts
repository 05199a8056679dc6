import fc from "fast-check";
import { expect, test } from "vitest";
import { KeptBytes } from "../../src/proxy/kept-bytes.ts";

test("many small pieces become few", () => {
  const kept = new KeptBytes();
  for (let at = 0; at < 1000; at++) kept.push(Buffer.from([at % 256]));
  let pieces = 0;
  for (let at = 0; at < kept.end; pieces++) at += kept.from(at)?.length ?? Infinity;
  expect(pieces).toBeLessThanOrEqual(257);
  expect(kept.all()).toEqual(Buffer.from(Array.from({ length: 1000 }, (_, at) => at % 256)));
});

test("a reader gets every byte from where it is, whatever is pushed and dropped meanwhile", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.boolean()), { maxLength: 600 }), (steps) => {
      const kept = new KeptBytes();
      let [pushed, read] = [0, 0];
      for (const [size, reads] of steps) {
        kept.push(Buffer.from(Array.from({ length: size }, () => pushed++ % 256)));
        if (!reads) continue;
        const piece = kept.from(read);
        expect(piece?.[0]).toBe(read % 256);
        read += piece?.length ?? 0;
        kept.dropBefore(read);
        expect(kept.start).toBe(read);
      }
      expect([kept.end, kept.from(pushed)]).toEqual([pushed, undefined]);
      expect(kept.all().length).toBe(pushed - read);
    }),
  );
});
