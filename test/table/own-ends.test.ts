import { expect, test } from "vitest";
import { OwnEnds } from "../../src/proxy/own-ends.ts";

test("a client is one of our own ends where it comes from there, and to where that leads", () => {
  const ends = new OwnEnds();
  const end = { address: "127.0.0.1", port: 40_000 };
  const forget = [ends.add(end, 80, "TCP"), ends.add(end, 80, "TCP"), ends.add(end, 90, "TCP")];
  const has = (address: string, to: number, transport: "TCP" | "UDP" = "TCP"): boolean =>
    ends.has({ address, port: 40_000 }, to, transport);
  expect([has("127.0.0.1", 80), has("::ffff:127.0.0.1", 80), has("127.0.0.1", 81)]).toEqual([true, true, false]);
  expect([has("127.0.0.2", 80), has("127.0.0.1", 80, "UDP")]).toEqual([false, false]);
  forget[0]?.();
  expect(has("127.0.0.1", 80)).toBe(true);
  forget[1]?.();
  expect([has("127.0.0.1", 80), has("127.0.0.1", 90)]).toEqual([false, true]);
});
