import { expect, test } from "vitest";
import { hasHttp2Fixes } from "../../src/proxy/downstream/http2-fixes.ts";

test.for<[string, boolean]>([
  ["20.20.2", false],
  ["22.19.0", false],
  ["22.23.3", false],
  ["22.23.4", true],
  ["22.24.0", true],
  ["23.11.0", false],
  ["24.21.0", false],
  ["24.22.0", false],
  ["24.22.1", true],
  ["25.9.0", false],
  ["26.12.0", false],
  ["26.12.1", true],
  ["27.0.0", true],
])("S19: Node %s has the fixes of its HTTP/2 server: %s", ([version, has]) => {
  expect(hasHttp2Fixes(version)).toBe(has);
});
