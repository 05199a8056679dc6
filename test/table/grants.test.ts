import { describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import { brief, statusOf } from "../support/conditions.ts";
import { pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

const REF = "{name: web, port: 80, namespace: shared}";

/** Every place of a ServiceRoute that refers to a backend, with the reference put in. */
const PLACES: Readonly<Record<string, string>> = {
  "the first backendRef": `rules: [{backendRefs: [${REF}]}]`,
  "a weighted second backendRef": `rules: [{backendRefs: [{name: own, port: 80}, ${REF}]}]`,
  "a mirror of a rule": `rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: ${REF}}}], backendRefs: [{name: own, port: 80}]}]`,
  "a mirror of a backendRef": `rules: [{backendRefs: [{name: own, port: 80, filters: [{type: RequestMirror, requestMirror: {backendRef: ${REF}}}]}]}]`,
  "a mirror of defaults": `defaults: {filters: [{type: RequestMirror, requestMirror: {backendRef: ${REF}}}]}\nrules: [{backendRefs: [{name: own, port: 80}]}]`,
};

function grant(
  namespace: string,
  from: { kind?: string; group?: string; namespace?: string } = {},
  to: { kind?: string; name?: string } = {},
): string {
  const { kind = "ServiceRoute", group = "serviceroute.dev", namespace: source = "default" } = from;
  return `---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: g, namespace: ${namespace}}
spec:
  from: [{group: "${group}", kind: ${kind}, namespace: ${source}}]
  to: [{group: "", kind: ${to.kind ?? "Service"}${to.name === undefined ? "" : `, name: ${to.name}`}}]
`;
}

const GRANTS: readonly (readonly [string, string, boolean])[] = [
  ["no grant", "", false],
  ["the right grant", grant("shared"), true],
  ["a grant for the name", grant("shared", {}, { name: "web" }), true],
  ["a grant for another name", grant("shared", {}, { name: "other" }), false],
  ["a grant in the referrer's namespace", grant("default"), false],
  ["a grant in a third namespace", grant("third"), false],
  ["a grant from another kind", grant("shared", { kind: "HTTPRoute" }), false],
  ["a grant from another group", grant("shared", { group: "gateway.networking.k8s.io" }), false],
  ["a grant from another namespace", grant("shared", { namespace: "third" }), false],
  ["a grant to another kind", grant("shared", {}, { kind: "Secret" }), false],
];

const OBJECTS = serviceYaml("own") + serviceYaml("web", [9001], "shared");

describe("S12, B15, B16: every reference out of a namespace needs its grant", () => {
  const matrix = Object.entries(PLACES).flatMap(([place, spec]) =>
    GRANTS.map(([name, yaml, permitted]) => ({ place, name, spec, yaml, permitted })),
  );

  test.for(matrix)("$place with $name: permitted $permitted", ({ spec, yaml, permitted }) => {
    const rig = pipeline();
    const status = statusOf(rig.apply(OBJECTS + yaml + routeYaml("r", spec)), "r");
    expect(brief(status, "ResolvedRefs")).toBe(permitted ? "True/ResolvedRefs" : "False/RefNotPermitted");
  });

  test.for(Object.entries(PLACES))("%s loses its backend at once when the grant goes", ([, spec]) => {
    const rig = pipeline();
    rig.apply(OBJECTS + grant("shared") + routeYaml("r", spec));
    rig.store.remove(keyOf("ReferenceGrant", "shared", "g"));
    expect(brief(statusOf(rig.settle(), "r"), "ResolvedRefs")).toBe("False/RefNotPermitted");
  });

  test("S13: filters of two routes to one Service are never shared", () => {
    const rig = pipeline();
    const set = (value: string): string =>
      `rules: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: tenant, value: ${value}}]}}], backendRefs: [{name: own, port: 80}]}]`;
    rig.apply(
      OBJECTS +
        routeYaml("a", `hostnames: [a.example.com]\n${set("a")}`) +
        routeYaml("b", `hostnames: [b.example.com]\n${set("b")}`),
    );
    const of = (name: string) =>
      rig.translator.table.routes.get(keyOf("ServiceRoute", "default", name))?.entries[0]?.rule;
    expect([of("a")?.filters.requestHeaders?.set, of("b")?.filters.requestHeaders?.set]).toEqual([
      [["tenant", "a"]],
      [["tenant", "b"]],
    ]);
    expect(of("a")?.action).toEqual(of("b")?.action);
  });
});
