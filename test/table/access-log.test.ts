import { expect, test } from "vitest";
import { harmless } from "../../src/telemetry/access-log.ts";

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
