import { expect, test } from "vitest";
import { AccessLog, harmless } from "../../src/telemetry/access-log.ts";

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

test("B56: a line is no longer than what a pipe takes in one piece, whatever it tells", () => {
  const lines: string[] = [];
  const stream = { write: (line: string): void => void lines.push(line) };
  const log = new AccessLog(
    stream,
    1,
    () => 0,
    () => 0,
  );
  const [name, text] = ["n".repeat(253), "é".repeat(5000)];
  log.write({
    protocol: "HTTP/1.1",
    method: "GET",
    authority: name,
    path: `/${"p".repeat(5000)}`,
    status: 200,
    durationMs: 1.234,
    bytesIn: 0,
    bytesOut: 0,
    client: "192.0.2.1",
    listener: "0.0.0.0:443",
    userAgent: text,
    requestId: "i".repeat(128),
    traceId: "0".repeat(32),
    route: `${name}/${name}`,
    rule: name,
    backend: `${name}/${name}:80`,
    endpoint: "192.0.2.2:8080",
    tries: 1,
    reason: undefined,
  });
  const [line = ""] = lines;
  expect(Buffer.byteLength(line)).toBeLessThanOrEqual(4096);
  expect(JSON.parse(line)).toMatchObject({ type: "access", time: "1970-01-01T00:00:00.000Z", tries: 1 });
});
