import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { serviceroute } from "../support/controller.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

const ROOT = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "serviceroute-validate-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

describe("validate", () => {
  test("names file, line and column of what is wrong, and exits with 1", async () => {
    const file = write(
      "bad.yaml",
      `${serviceYaml("web")}${routeYaml("r", "rules:\n- backendRefs: [{name: web, port: 80}, {name: nobody, port: 80}]\n- matches: [{path: {value: /b}}]\n  timeouts: {request: soon}\n  backendRefs: [{name: web, port: 80}]")}`,
    );
    const { code, stdout } = await serviceroute(["validate", file]);
    expect(code).toBe(1);
    const lines = stdout.trim().split("\n");
    expect(lines[0]).toMatch(
      /bad\.yaml:[0-9]+:[0-9]+: ServiceRoute default\/r: rules\[0\]\.backendRefs\[1\]: Service default\/nobody does not exist$/,
    );
    expect(lines[1]).toMatch(/bad\.yaml:[0-9]+:[0-9]+: ServiceRoute default\/r: rules\[1\]\.timeouts\.request: /);
    const place = /:([0-9]+):([0-9]+):/.exec(lines[0] ?? "");
    const text = readFileSync(file, "utf8")
      .split("\n")
      [Number(place?.[1]) - 1]?.slice(Number(place?.[2]) - 1);
    expect(text).toMatch(/^\{name: nobody/);
  });

  test("tells once what is wrong with a whole route", async () => {
    const { stdout } = await serviceroute(["validate", "-"], routeYaml("r", "hostname: a.test"));
    expect(stdout).toBe('stdin:6:3: ServiceRoute default/r: unknown field "hostname"\n1 objects, 1 problems\n');
  });

  test("tells what refuses a whole Gateway", async () => {
    const gateway = (name: string, spec: string): string =>
      `---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: ${name}}\nspec: {gatewayClassName: serviceroute, listeners: [{name: a, port: 80, protocol: HTTP}], ${spec}}\n`;
    const yaml =
      gateway("a", "infrastructure: {parametersRef: {group: x.test, kind: P, name: p}}") +
      gateway("b", "addresses: [{type: Hostname, value: x.test}]") +
      gateway("c", "addresses: [{value: 192.0.2.1}, {value: 192.0.2.2}]");
    const { code, stdout } = await serviceroute(["validate", "-"], yaml);
    expect([
      code,
      stdout
        .trim()
        .split("\n")
        .map((line) => line.replace(/^stdin:[0-9]+:[0-9]+: /, "")),
    ]).toEqual([
      1,
      [
        "Gateway default/a: x.test/P p cannot be used as parameters",
        "Gateway default/b: addresses of type Hostname are not supported; use IPAddress",
        "Gateway default/c: spec.addresses names 2 addresses; a Gateway has one here",
        "3 objects, 3 problems",
      ],
    ]);
  });

  test("the samples are good, and each is served", async () => {
    const { code, stdout } = await serviceroute(["validate", join(ROOT, "manifests/samples")]);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/0 problems/)]);
  });

  test("reads stdin, prints JSON and YAML, and no colours without a terminal", async () => {
    const yaml = routeYaml("r", "rules: [{backendRefs: [{name: web, port: 80}]}]");
    const json = await serviceroute(["validate", "-", "-o", "json"], yaml);
    expect((JSON.parse(json.stdout) as { file: string }[])[0]?.file).toBe("stdin");
    const asYaml = await serviceroute(["validate", "-", "-o", "yaml"], yaml);
    expect((parse(asYaml.stdout) as unknown[]).length).toBe(1);
    const { stdout } = await serviceroute(["validate", "-"], yaml);
    expect(stdout).not.toContain("\u001b[");
  });

  test.for<[string, string, RegExp]>([
    [
      "B44: an alias bomb",
      `a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [${"*a,".repeat(10)}]\nc: &c [${"*b,".repeat(10)}]\nd: &d [${"*c,".repeat(10)}]\napiVersion: v1\nkind: X\n`,
      /alias|Excessive/i,
    ],
    ["B44: a duplicate key", "apiVersion: v1\napiVersion: v1\nkind: Service\n", /unique/],
    ["B44: an unknown tag", "apiVersion: v1\nkind: !!js/function 'x'\n", /tag/i],
    ["B44: a text that is no YAML", "a: [", /sequence/],
    [
      "B45: deep nesting",
      `{"apiVersion":"v1","kind":"Service","metadata":${"[".repeat(5000)}${"]".repeat(5000)}}`,
      /./,
    ],
    ["B1: no kind", "apiVersion: v1\n", /apiVersion and kind are required/],
    ["B1: a list at the top", "- a\n", /not a Kubernetes object/],
  ])("%s is a message with a place, no crash", async ([, text, message]) => {
    const { code, stdout, stderr } = await serviceroute(["validate", "-"], text);
    expect(stderr).not.toContain("    at ");
    expect(code).toBe(1);
    expect(stdout).toMatch(message);
    expect(stdout).toMatch(/^stdin:[0-9]+:[0-9]+: /);
  });

  test("B44: a merge key with __proto__ pollutes nothing", async () => {
    const { stdout } = await serviceroute(
      ["validate", "-"],
      `apiVersion: v1\nkind: Service\nmetadata:\n  name: x\n  <<: {__proto__: {polluted: yes}}\nspec: {ports: [{port: 80}]}\n`,
    );
    expect(stdout).toMatch(/1 objects/);
  });
});
