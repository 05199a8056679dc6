import { expect, test } from "vitest";
import { type AccessEntry, AccessLog, harmless } from "../../src/telemetry/access-log.ts";

test.for([
  ["what clears a screen", "\u009b2J", "\\u009b2J"],
  ["what deletes", "a\u007fb", "a\\u007fb"],
  ["what turns the direction of text", "\u202etxt.exe", "\\u202etxt.exe"],
  ["what isolates text", "\u2066a\u2069", "\\u2066a\\u2069"],
  ["other text", "äöü – ok", "äöü – ok"],
] as const)("B56: %s is written as it is harmless", ([, text, written]) => {
  expect(harmless(text)).toBe(written);
});

test("B56: text is cut at its limit, however many characters of it are escaped", () => {
  expect(harmless("\u007f".repeat(2000)).length).toBe(1024);
});

const ENTRY: AccessEntry = {
  protocol: "HTTP/1.1",
  method: "GET",
  authority: "shop.example.com",
  path: "/",
  status: 200,
  durationMs: 1.234,
  bytesIn: 0,
  bytesOut: 0,
  client: "192.0.2.1",
  listener: "0.0.0.0:443",
  userAgent: undefined,
  requestId: undefined,
  traceId: undefined,
  route: undefined,
  rule: undefined,
  backend: undefined,
  endpoint: "192.0.2.2:8080",
  tries: 1,
  reason: undefined,
};

/** @param now  Milliseconds since 1970, at each line. */
function linesOf(entries: readonly AccessEntry[], now: () => number = () => 0): string[] {
  const lines: string[] = [];
  const stream = { write: (line: string): void => void lines.push(line) };
  const log = new AccessLog(stream, 1, () => 0, now);
  for (const entry of entries) log.write(entry);
  return lines;
}

test.for([["é"], ["\u0001"], ['"'], ["\u009b"], ["\ud800"], ["n"]] as const)(
  "B56: a line is no longer than what a pipe takes in one piece, whatever it tells: %j",
  ([character]) => {
    const long = character.repeat(5000);
    const texts = ["authority", "path", "userAgent", "requestId", "route", "rule", "backend", "reason", "method"];
    const [line = ""] = linesOf([{ ...ENTRY, ...Object.fromEntries(texts.map((name) => [name, long])) }]);
    expect(Buffer.byteLength(line)).toBeLessThanOrEqual(4096);
    expect(JSON.parse(line)).toMatchObject({ type: "access", time: "1970-01-01T00:00:00.000Z", tries: 1 });
    expect(line).toMatch(/^[^\n]*\n$/);
  },
);

test("a line tells when it was written", () => {
  let now = 0;
  const lines = linesOf([ENTRY, ENTRY, ENTRY], () => (now++ < 2 ? 1000 : 2000));
  expect(lines.map((line) => (JSON.parse(line) as { time: string }).time.slice(17))).toEqual([
    "01.000Z",
    "01.000Z",
    "02.000Z",
  ]);
});
