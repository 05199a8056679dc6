import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { queryObjects } from "node:v8";
import { afterAll, describe, expect, test } from "vitest";
import { Document } from "yaml";
import { Folder } from "../../src/sources/files/folder.ts";
import { formatDiagnostic, readManifest } from "../../src/sources/files/manifest.ts";
import { serviceYaml } from "../support/objects.ts";

/** Objects by name, and mistakes as they are told. */
function said(text: string): { readonly names: readonly string[]; readonly errors: readonly string[] } {
  const { objects, errors } = readManifest("f.yaml", text);
  return { names: objects.map(({ object }) => object.metadata.name), errors: errors.map(formatDiagnostic) };
}
const service = (name: string, label = "x"): string =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}, labels: {a: ${label}}}\nspec: {ports: [{port: 80}]}\n`;
const labelOf = (text: string): unknown => readManifest("f.yaml", text).objects[0]?.object.metadata.labels["a"];
const json = (port: string): string =>
  `{"apiVersion":"v1","kind":"Service","metadata":{"name":"x"},"spec":{"ports":[{"port":${port}}]}}`;

describe("B44: YAML", () => {
  test("of many documents, empty ones among them, and with a byte order mark", () => {
    expect(
      said(`\uFEFF---\n${service("a")}---\n---\n# nothing\n---\n${service("b")}...\n---\n${service("c")}`),
    ).toEqual({
      names: ["a", "b", "c"],
      errors: [],
    });
  });

  test.for([
    ["no", "no"],
    ["y", "y"],
    ["on", "on"],
    ['"012"', "012"],
    ['"a\\0b"', "a\0b"],
  ])("version 1.2: %s is the text", ([written, meant]) => expect(labelOf(service("a", written))).toBe(meant));

  test.for(["012", "1e3", "true", "0x1f", ".inf"])(
    "version 1.2: %s is no text, and is refused with its place",
    (word) => {
      expect(said(service("a", word)).errors).toEqual([
        expect.stringMatching(/^f\.yaml:3:33: Service default\/a: metadata\.labels\.a: .*expected string/),
      ]);
    },
  );

  test("a key twice is told where it stands, however deep, and the other documents are read", () => {
    const twice = "apiVersion: v1\nkind: Service\nmetadata: {name: b, labels: {a: x, b: x, a: y}}\nspec: {}\n";
    expect(said(`${service("a")}---\n${twice}`)).toEqual({
      names: ["a"],
      errors: ["f.yaml:8:42: Map keys must be unique"],
    });
  });

  test("with a hundred thousand keys costs what they are, not their square", () => {
    const keys = Array.from({ length: 100_000 }, (_, i) => `"k${i}": x`).join(",");
    expect(said(service("a").replace("a: x", keys))).toEqual({ names: ["a"], errors: [] });
  });

  test.for<[string, string]>([
    ["sequences", `{"kind":"Service","metadata":${"[".repeat(100_000)}${"]".repeat(100_000)}}`],
    ["open mappings", "{a: ".repeat(100_000)],
    ["dashes", "- ".repeat(100_000)],
  ])("B45: a hundred thousand levels of %s are a mistake with a place", ([, text]) => {
    expect(said(text).errors[0]).toMatch(/^f\.yaml:[0-9]+:[0-9]+: nested too deeply$/);
  });

  test("of 50 MB is not read", () => {
    expect(said(service("a", "x".repeat(50 * 1024 * 1024))).errors).toEqual(["f.yaml:1:1: larger than 16 MiB"]);
  });
});

describe("B45: JSON", () => {
  test("a text of ten million characters is one", () => {
    expect(labelOf(service("a", JSON.stringify("x".repeat(10_000_000))))).toHaveLength(10_000_000);
  });
  test("half of a surrogate pair is kept as it is", () => {
    expect(labelOf(service("a", '"\\ud800"'))).toBe("\ud800");
  });
  test.for(["-0", "1e400", "-1e400", "0.5", "NaN"])("the port %s", (port) => {
    const { names, errors } = said(json(port));
    if (port === "-0") expect([names, errors]).toEqual([["x"], []]);
    else expect(errors[0]).toMatch(/^f\.yaml:1:[0-9]+: Service default\/x: spec\.ports\.0\.port: /);
  });
  test("a key twice", () => {
    expect(said('{"kind":"Service","kind":"Service"}').errors).toEqual(["f.yaml:1:19: Map keys must be unique"]);
  });
});

test("B1: a kind that our own group does not have is a mistake, others are not ours", () => {
  const object = (group: string): string => `apiVersion: ${group}\nkind: ServiceRute\nmetadata: {name: a}\n`;
  expect(said(object("serviceroute.dev/v1alpha1")).errors).toEqual([
    "f.yaml:2:7: ServiceRute default/a: serviceroute.dev has no kind ServiceRute; did you mean ServiceRoute?",
  ]);
  expect(said(object("example.com/v1"))).toEqual({ names: [], errors: [] });
});

describe("a folder", () => {
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-manifest-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("with a file that cannot be read, or is too large, is read without it", () => {
    const [huge, unreadable] = [join(folder, "huge.yaml"), join(folder, "link.yaml")];
    writeFileSync(join(folder, "good.yaml"), serviceYaml("good"));
    writeFileSync(huge, "a: b\n");
    truncateSync(huge, 5 * 1024 ** 3);
    // Root may read everything but this.
    symlinkSync("/proc/self/mem", unreadable);
    const { objects, errors } = new Folder([folder]).read();
    expect([...objects.values()].map(({ object }) => object.metadata.name)).toContain("good");
    expect(errors.map(formatDiagnostic)).toEqual([
      `${huge}:1:1: larger than 16 MiB`,
      `${unreadable}:1:1: cannot be read: EIO`,
    ]);
  });
});

test("what is read holds on to its text alone, and still knows where each object stands", () => {
  const text = Array.from({ length: 50 }, (_, i) => service(`s${i}`)).join("---\n");
  const { objects } = readManifest("f.yaml", text);
  // Within the same turn: a folder is read in one.
  expect(queryObjects(Document, { format: "count" })).toBeLessThan(50);
  const lines = text.slice(0, text.indexOf("name: s49")).split("\n").length;
  expect(objects.at(-1)?.location.at(["metadata", "name"])).toEqual({ line: lines, column: 18 });
});
