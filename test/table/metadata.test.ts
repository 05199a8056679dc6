import { describe, expect, test } from "vitest";
import { readManifest } from "../../src/sources/files/manifest.ts";
import { pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

const WEB = "rules: [{backendRefs: [{name: web, port: 80}]}]";
/** What somebody, or a tool, may write beside a spec. */
const FLOOD = {
  annotations: Object.fromEntries(
    Array.from({ length: 2000 }, (_, i) => [`tool.example.com/${i}`, `\u0007\u001b[2J${"x".repeat(100)}`]),
  ),
  labels: Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`l${i}`, "v"])),
  managedFields: Array.from({ length: 200 }, (_, i) => ({
    manager: `m${i}`,
    operation: "Update",
    fieldsV1: { "f:spec": { [`f:${"y".repeat(1000)}`]: {} } },
  })),
  finalizers: ["somebody.example.com/keeps"],
  selfLink: "http://192.0.2.1/",
};

describe("B60: metadata without measure", () => {
  const named = (name: string): string => {
    const manifest = { apiVersion: "serviceroute.dev/v1alpha1", kind: "ServiceRoute", metadata: { name, ...FLOOD } };
    return JSON.stringify({ ...manifest, spec: { rules: [{ backendRefs: [{ name: "web", port: 80 }] }] } });
  };

  test("changes nothing of what is served, and is not kept", () => {
    const rig = pipeline();
    rig.apply(`${serviceYaml("web")}---\n${named("r".repeat(253))}\n`);
    const [key] = rig.translator.routeKeys();
    expect(rig.translator.table.routes.get(key!)?.entries).toHaveLength(1);
    const kept = JSON.stringify(rig.store.peek(key!));
    expect(kept).not.toMatch(/tool\.example|managedFields|fieldsV1|finalizers|selfLink|\\u001b/);
    expect(kept.length).toBeLessThan(12_000);
  });

  test("says the same of a route as none does", () => {
    const plain = pipeline();
    plain.apply(serviceYaml("web") + routeYaml("r", WEB));
    const flooded = pipeline();
    flooded.apply(`${serviceYaml("web")}---\n${named("r")}\n`);
    const status = (rig: typeof plain): unknown => rig.translator.routeStatus([...rig.translator.routeKeys()][0]!);
    expect(status(flooded)).toEqual(status(plain));
  });

  test.for([
    ["a name that is a path", '"../../etc"'],
    ["a name with a line break", '"a\\nb"'],
    ["a name of 254 characters", `"${"a".repeat(254)}"`],
    ["an annotation that is no text", 'a, annotations: {"serviceroute.dev/default-scope": {x: 1}}'],
    ["labels that are a list", "a, labels: [1]"],
  ])("%s is refused with its place, and the file's other objects stay", ([, metadata]) => {
    const bad = `---\napiVersion: serviceroute.dev/v1alpha1\nkind: ServiceRoute\nmetadata: {name: ${metadata ?? ""}}\nspec: {}\n`;
    const { objects, errors } = readManifest("m.yaml", `${serviceYaml("web", [])}${bad}`);
    expect(objects.map(({ object }) => object.kind)).toEqual(["Service"]);
    expect(errors).toHaveLength(1);
    expect(errors[0]?.line).toBeGreaterThan(0);
  });
});
