import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { keyOf } from "../../src/api/keys.ts";
import type { KubeObject } from "../../src/api/objects.ts";
import { objectsFrom, pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

const CRD = parse(
  readFileSync(join(import.meta.dirname, "../../crds/serviceroute.dev_serviceroutes.yaml"), "utf8"),
) as { spec: { versions: { schema: { openAPIV3Schema: { properties: { spec: Schema } } } }[] } };
interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}
type Path = readonly (string | number)[];

/** Every field that the schema has, however deep; in lists the first entry. */
function* fieldsOf({ properties = {}, items }: Schema, path: Path = []): Generator<Path> {
  for (const [name, schema] of Object.entries(properties)) {
    yield [...path, name];
    yield* fieldsOf(schema, [...path, name]);
  }
  if (items !== undefined) yield* fieldsOf(items, [...path, 0]);
}
const FIELDS = [...fieldsOf(CRD.spec.versions[0]?.schema.openAPIV3Schema.properties.spec ?? {})];
const VALUES = [null, 7, -1.5, "text", "", true, [], {}, [null], [[]], [{}]];

/** A good spec with one field otherwise. */
function specWith([first, ...rest]: Path, value: unknown, base: unknown): unknown {
  if (first === undefined) return value;
  if (typeof first === "number") {
    const [head, ...tail] = Array.isArray(base) ? (base as unknown[]) : [];
    return [specWith(rest, value, head), ...tail];
  }
  const object = (base ?? {}) as Record<string, unknown>;
  return { ...object, [first]: specWith(rest, value, object[first]) };
}
const BASE = { rules: [{ matches: [{ path: { value: "/" } }], backendRefs: [{ name: "web", port: 80 }] }] };
const KEY = keyOf("ServiceRoute", "default", "odd");
const NEIGHBOUR = keyOf("ServiceRoute", "default", "neighbour");
const route = (name: string, spec: unknown): KubeObject => {
  const raw = { apiVersion: "serviceroute.dev/v1alpha1", kind: "ServiceRoute", metadata: { name }, spec };
  return objectsFrom(JSON.stringify(raw))[0]!;
};
const neighbour = (i: number): KubeObject =>
  route("neighbour", {
    rules: [{ matches: [{ path: { type: "Exact", value: `/${i}` } }], backendRefs: [{ name: "web", port: 80 }] }],
  });

describe("S15: one object that is wrong", () => {
  test("in any field of the schema, however deep, throws nothing, and a change beside it is served", () => {
    expect(FIELDS.length).toBeGreaterThan(300);
    const rig = pipeline();
    rig.apply(serviceYaml("web"));
    let step = 0;
    for (const path of FIELDS)
      for (const value of VALUES) {
        step++;
        rig.store.transaction(() => {
          rig.store.apply(route("odd", specWith(path, value, BASE)));
          rig.store.apply(neighbour(step));
        });
        const output = rig.settle();
        const where = `${path.join(".")}: ${JSON.stringify(value)}`;
        expect(output?.failures, where).toEqual([]);
        expect(rig.translator.table.routes.get(NEIGHBOUR)?.entries[0]?.match.path, where).toEqual({
          kind: "exact",
          value: `/${step}`,
        });
        expect(rig.translator.routeStatus(KEY), where).toBeDefined();
      }
  });

  test("so that translation itself breaks, keeps its last good version, and a change beside it is served", () => {
    const rig = pipeline();
    const of = (generation: number, host: string): string =>
      routeYaml(
        "odd",
        `hostnames: [${host}]\nrules: [{backendRefs: [{name: web, port: 80}]}]`,
        `generation: ${generation}`,
      );
    rig.apply(serviceYaml("web") + of(1, "a.test"));
    const good = rig.translator.table.routes.get(KEY);
    expect(good?.entries).toHaveLength(1);
    const defect = (): never => {
      throw new Error("a defect of ours");
    };
    const [second] = objectsFrom(of(2, "c.test"));
    rig.store.transaction(() => {
      rig.store.apply({ ...second!, spec: new Proxy({}, { get: defect, has: defect, ownKeys: defect }) } as KubeObject);
      rig.store.apply(neighbour(1));
    });
    const output = rig.settle();
    expect(output?.failures.map(({ key, error }) => `${key}: ${String(error)}`)).toEqual([
      `${KEY}: Error: a defect of ours`,
    ]);
    expect(rig.translator.table.routes.get(KEY)).toBe(good);
    expect(rig.translator.table.routes.get(NEIGHBOUR)?.entries).toHaveLength(1);
    rig.apply(of(3, "b.test"));
    expect(rig.translator.table.routes.get(KEY)?.placements[0]?.hostnames).toEqual(["b.test"]);
  });
});
