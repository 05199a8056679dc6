import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import { Store } from "../../src/snapshot/store.ts";
import { FilesSource } from "../../src/sources/files/files-source.ts";
import { formatDiagnostic } from "../../src/sources/files/manifest.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

let folder: string;
let store: Store;
let source: FilesSource;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "serviceroute-files-"));
  store = new Store();
  source = new FilesSource([folder], "", store, createLogger("silent"), () => undefined);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);
const route = (host: string, metadata = ""): string =>
  routeYaml("r", `hostnames: [${host}]\nrules: [{backendRefs: [{name: web, port: 80}]}]`, metadata);
const stored = () => store.peek(keyOf("ServiceRoute", "default", "r"));
const hostnames = (): unknown => (stored()?.spec as { hostnames?: unknown } | undefined)?.hostnames;

test.for([
  "",
  "generation: 7",
  'resourceVersion: "5"',
  'uid: u, resourceVersion: "5", generation: 7, creationTimestamp: "2026-01-01T00:00:00Z"',
])("an edit counts whatever the file says of versions: {%s}", (metadata) => {
  write("r.yaml", route("one.test", metadata));
  source.readOnce();
  expect([hostnames(), stored()?.metadata.generation]).toEqual([["one.test"], 1]);
  write("r.yaml", route("other.test", metadata));
  source.readOnce();
  expect([hostnames(), stored()?.metadata.generation]).toEqual([["other.test"], 2]);
});

test("an edit of what has no spec counts too", () => {
  const slice = (address: string): string =>
    `apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a, resourceVersion: "5", generation: 3, labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nports: [{port: 80}]\nendpoints: [{addresses: [${address}]}]\n`;
  const address = (): unknown => store.slicesOf("default", "web")[0]?.endpoints?.[0]?.addresses;
  write("a.yaml", slice("192.0.2.1"));
  source.readOnce();
  write("a.yaml", slice("192.0.2.22"));
  source.readOnce();
  expect(address()).toEqual(["192.0.2.22"]);
});

test("a file that says the same, or is read again, changes no object", () => {
  write("r.yaml", route("one.test"));
  source.readOnce();
  const first = stored();
  source.readOnce();
  expect(stored()).toBe(first);
  write("r.yaml", `# a comment\n${route("one.test")}`);
  source.readOnce();
  expect(stored()?.metadata.generation).toBe(1);
});

test("a link that leads to itself is a mistake of its own, and stops no other file", async () => {
  symlinkSync("loop.yaml", join(folder, "loop.yaml"));
  write("r.yaml", route("one.test"));
  expect(source.readOnce().errors.map(formatDiagnostic)).toEqual([
    `${join(folder, "loop.yaml")}:1:1: cannot be read: ELOOP`,
  ]);
  const stop = new AbortController();
  const running = source.start(stop.signal);
  write("r.yaml", route("other.test"));
  await expect.poll(hostnames, { timeout: 3000 }).toEqual(["other.test"]);
  stop.abort();
  await running;
});

test("a folder that can no more be looked into keeps what was in it, until it can, or is gone", () => {
  const [below, aside] = [join(folder, "below"), `${folder}-aside`];
  mkdirSync(below);
  write("below/web.yaml", serviceYaml("web"));
  write("r.yaml", route("one.test"));
  source.readOnce();
  renameSync(below, aside);
  symlinkSync("below", below);
  write("r.yaml", route("other.test"));
  expect(source.readOnce().errors.map(formatDiagnostic)).toEqual([`${below}:1:1: cannot be read: ELOOP`]);
  const isThere = (): boolean => store.keys("Service").has(keyOf("Service", "default", "web"));
  expect([hostnames(), isThere()]).toEqual([["other.test"], true]);
  unlinkSync(below);
  source.readOnce();
  expect(isThere()).toBe(false);
  renameSync(aside, below);
  source.readOnce();
  expect(isThere()).toBe(true);
});

test("a file that could not be read is read once it may be, though nobody touches it", () => {
  const below = join(folder, "below");
  mkdirSync(below);
  write("below/r.yaml", route("one.test"));
  const file = join(below, "r.yaml");
  chmodSync(file, 0o000);
  const asNobody = <T>(run: () => T): T => {
    if (process.getuid?.() !== 0) return run();
    chmodSync(folder, 0o755);
    process.seteuid?.(65_534);
    try {
      return run();
    } finally {
      process.seteuid?.(0);
    }
  };
  expect(asNobody(() => source.readOnce()).errors.map(formatDiagnostic)).toEqual([
    `${file}:1:1: cannot be read: EACCES`,
  ]);
  chmodSync(file, 0o644);
  expect(asNobody(() => source.readOnce()).errors).toEqual([]);
  expect(hostnames()).toEqual(["one.test"]);
});
