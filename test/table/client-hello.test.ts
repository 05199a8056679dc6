import { describe, expect, test } from "vitest";
import { nameAskedFor } from "../../src/proxy/tcp/client-hello.ts";
import { clientHello } from "../support/client-hello.ts";
import { fc } from "../support/property.ts";

describe("the first bytes of a TLS client", () => {
  const hello = clientHello(Buffer.from("Shop.example.com"));

  test("name whom it wants, in lower case", () => {
    expect(nameAskedFor(hello)).toEqual({ kind: "name", name: "shop.example.com" });
  });

  test("say so as soon as they are whole, and no sooner", () => {
    for (let i = 0; i < hello.length; i++)
      expect(nameAskedFor(hello.subarray(0, i)), String(i)).toEqual({ kind: "incomplete" });
    expect(nameAskedFor(Buffer.concat([hello, Buffer.from("more")]))).toMatchObject({ kind: "name" });
  });

  test("may come in many records", () => {
    const body = hello.subarray(5);
    const records = Array.from({ length: Math.ceil(body.length / 7) }, (_, i) => {
      const part = body.subarray(i * 7, i * 7 + 7);
      return Buffer.concat([Buffer.from([22, 3, 1, 0, part.length]), part]);
    });
    expect(nameAskedFor(Buffer.concat(records))).toMatchObject({ name: "shop.example.com" });
  });

  test("that come in very many pieces, or have no end, are refused", () => {
    const empty = Buffer.from([22, 3, 1, 0, 0]);
    expect(nameAskedFor(Buffer.concat(Array.from({ length: 40 }, () => empty)))).toEqual({ kind: "malformed" });
    const endless = Buffer.concat([Buffer.from([22, 3, 1, 0xff, 0xff, 1, 0xff, 0xff, 0xff]), Buffer.alloc(17_000)]);
    expect(nameAskedFor(endless)).toEqual({ kind: "malformed" });
  });

  test.for(["GET / HTTP/1.1\r\n", "\u0016\u0002\u0000", "SSH-2.0"])("that are no TLS are told at once: %j", (text) => {
    expect(nameAskedFor(Buffer.from(text, "latin1"))).toEqual({ kind: "malformed" });
  });

  test("S11: whatever they are, they are told apart without an exception", () => {
    const told = fc.property(
      fc.array(fc.tuple(fc.nat({ max: hello.length - 1 }), fc.nat({ max: 255 })), { maxLength: 8 }),
      fc.nat({ max: hello.length }),
      (changes, length) => {
        const bytes = Buffer.from(hello.subarray(0, length));
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        expect(["name", "none", "incomplete", "malformed"]).toContain(nameAskedFor(bytes).kind);
      },
    );
    fc.assert(told, { numRuns: 2000 });
  });
});
