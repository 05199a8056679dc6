import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { BodyTooLarge, RequestBody } from "../../src/proxy/request-body.ts";

const KIB = 1024;
const chunk = (letter: string, size: number): Buffer => Buffer.alloc(size, letter);

/** A body whose chunks come when the test says so. */
function bodyOf(limit = 0): { source: Readable; body: RequestBody; sizes: number[] } {
  const source = new Readable({ objectMode: true, read: () => undefined });
  const sizes: number[] = [];
  return { source, body: new RequestBody(source, limit, (size) => sizes.push(size)), sizes };
}

async function rest(reader: AsyncGenerator<Buffer>): Promise<string> {
  let text = "";
  for await (const part of reader) text += `${part.toString().slice(0, 1)}${part.length} `;
  return text.trim();
}

describe("a request body", () => {
  test("streams as it comes, and can be read again while it is small", async () => {
    const { source, body, sizes } = bodyOf();
    source.push(chunk("a", 10));
    const first = body.read();
    expect((await first.next()).value).toEqual(chunk("a", 10));
    source.push(chunk("b", 20));
    source.push(null);
    expect([body.whole, await rest(first)]).toEqual([undefined, "b20"]);
    expect([body.replayable, body.whole?.length, await rest(body.read())]).toEqual([true, 30, "a10 b20"]);
    expect(sizes).toEqual([10, 20, 0]);
  });

  test("over 64 KiB is read once, and kept no longer", async () => {
    const { source, body } = bodyOf();
    for (const letter of ["a", "b", "c"]) source.push(chunk(letter, 40 * KIB));
    source.push(null);
    const reader = body.read();
    await reader.next();
    expect(body.replayable).toBe(true);
    await reader.next();
    expect(body.replayable).toBe(false);
    expect([await rest(reader), body.whole]).toEqual(["c40960", undefined]);
  });

  test("F47: what comes for a reader that was given up is the next one's, whatever it is too much for", async () => {
    const { source, body } = bodyOf();
    source.push(chunk("a", 60_000));
    const first = body.read();
    await first.next();
    const late = first.next();
    body.giveUp();
    source.push(chunk("b", 10_000));
    await expect(late).rejects.toThrow("given up");
    expect(body.replayable).toBe(true);
    const second = body.read();
    source.push(chunk("c", 5));
    source.push(null);
    expect(await rest(second)).toBe("a60000 b10000 c5");
  });

  test("over its limit fails every reader, those that come later too, and is never whole", async () => {
    const { source, body } = bodyOf(10);
    source.push(chunk("a", 5));
    const first = body.read();
    await first.next();
    const late = first.next();
    body.giveUp();
    source.push(chunk("b", 6));
    source.push(null);
    await expect(late).rejects.toThrow();
    await expect(rest(body.read())).rejects.toThrow(BodyTooLarge);
    await expect(rest(body.read())).rejects.toThrow(BodyTooLarge);
    expect(body.whole).toBeUndefined();
    await body.discard();
  });

  test("that breaks off fails its reader and the next", async () => {
    const { source, body } = bodyOf();
    source.push(chunk("a", 5));
    const first = body.read();
    await first.next();
    source.destroy(new Error("gone"));
    await expect(rest(first)).rejects.toThrow("gone");
    await expect(rest(body.read())).rejects.toThrow("gone");
    expect(body.whole).toBeUndefined();
    await body.discard();
  });

  test("that nobody wants any more is read to its end and kept by nobody", async () => {
    const { source, body, sizes } = bodyOf();
    const reader = body.read();
    const waits = reader.next();
    const done = body.discard();
    for (let i = 0; i < 5; i++) source.push(chunk("a", KIB));
    source.push(null);
    await done;
    await expect(waits).rejects.toThrow("given up");
    expect([sizes, body.replayable, body.whole]).toEqual([[KIB, KIB, KIB, KIB, KIB, 0], false, undefined]);
  });
});
