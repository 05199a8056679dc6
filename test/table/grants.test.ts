import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { keyOf } from "../../src/api/keys.ts";
import type { ListenerId } from "../../src/routing/listener.ts";
import { brief, message, statusOf } from "../support/conditions.ts";
import { pipeline, routeYaml, serviceYaml } from "../support/objects.ts";
import { Pki } from "../support/pki.ts";

const ROOT = join(import.meta.dirname, "../..");

const REF = "{name: web, port: 80, namespace: shared}";

const FALLBACK = `fallback: {backendRef: ${REF}}`;
const OWN = "backendRefs: [{name: own, port: 80}]";

/** Fields of a ServiceRoute that refer to a backend, as paths of its schema, each as a spec with the reference put in. */
const PLACES: Readonly<Record<string, readonly string[]>> = {
  "rules[].backendRefs[]": [
    `rules: [{backendRefs: [${REF}]}]`,
    `rules: [{backendRefs: [{name: own, port: 80}, ${REF}]}]`,
  ],
  "rules[].filters[].requestMirror.backendRef": [
    `rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: ${REF}}}], backendRefs: [{name: own, port: 80}]}]`,
  ],
  "rules[].backendRefs[].filters[].requestMirror.backendRef": [
    `rules: [{backendRefs: [{name: own, port: 80, filters: [{type: RequestMirror, requestMirror: {backendRef: ${REF}}}]}]}]`,
  ],
  "defaults.filters[].requestMirror.backendRef": [
    `defaults: {filters: [{type: RequestMirror, requestMirror: {backendRef: ${REF}}}]}\nrules: [{backendRefs: [{name: own, port: 80}]}]`,
  ],
  "rules[].fallback.backendRef": [`rules: [{${FALLBACK}, ${OWN}}]`],
  "defaults.fallback.backendRef": [`defaults: {${FALLBACK}}\nrules: [{${OWN}}]`],
};
const EXTERNAL_AUTH = `filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, http: {}, backendRef: ${REF}}}]`;
const JWKS = `authentication: {type: JWT, jwt: {providers: [{name: a, issuer: "https://a.example.com", jwks: {type: Remote, remote: {backendRef: ${REF}, path: /keys}}}]}}`;
/** Those of policies that are refused whole until they are served: nothing is looked up for them. */
const UNSERVED: Readonly<Record<string, string>> = {
  "rules[].filters[].externalAuth.backendRef": `rules: [{${EXTERNAL_AUTH}, ${OWN}}]`,
  "rules[].backendRefs[].filters[].externalAuth.backendRef": `rules: [{backendRefs: [{name: own, port: 80, ${EXTERNAL_AUTH}}]}]`,
  "defaults.filters[].externalAuth.backendRef": `defaults: {${EXTERNAL_AUTH}}\nrules: [{${OWN}}]`,
  "rules[].authentication.jwt.providers[].jwks.remote.backendRef": `rules: [{${JWKS}, ${OWN}}]`,
  "defaults.authentication.jwt.providers[].jwks.remote.backendRef": `defaults: {${JWKS}}\nrules: [{${OWN}}]`,
};
/** Who may attach where is the listener's to say, not a grant's. */
const PARENTS = ["parentRefs[]"];

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

/** Paths of everything in a schema that can name an object of another namespace. */
function references(schema: Schema, path = ""): string[] {
  const fields = schema.properties ?? {};
  const own = "name" in fields && "namespace" in fields ? [path] : [];
  const below = Object.entries(fields).flatMap(([name, field]) =>
    references(field, path === "" ? name : `${path}.${name}`),
  );
  return [...own, ...below, ...(schema.items === undefined ? [] : references(schema.items, `${path}[]`))];
}

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
  ["a grant to another group", grant("shared").replace('to: [{group: ""', "to: [{group: example.com"), false],
  [
    "a grant among others",
    grant("shared")
      .replace("from: [", "from: [{group: serviceroute.dev, kind: ServiceRoute, namespace: third}, ")
      .replace("to: [", 'to: [{group: "", kind: Secret}, '),
    true,
  ],
];

const OBJECTS = serviceYaml("own") + serviceYaml("web", [9001], "shared");

describe("S12, B15, B16: every reference out of a namespace needs its grant", () => {
  const places = Object.entries(PLACES).flatMap(([place, specs]) => specs.map((spec) => [place, spec] as const));
  const matrix = places.flatMap(([place, spec]) =>
    GRANTS.map(([name, yaml, permitted]) => ({ place, name, spec, yaml, permitted })),
  );

  test("no reference of the schema is forgotten here", () => {
    const crd = parse(readFileSync(join(ROOT, "crds/serviceroute.dev_serviceroutes.yaml"), "utf8")) as {
      spec: { versions: [{ schema: { openAPIV3Schema: { properties: { spec: Schema } } } }] };
    };
    const { spec } = crd.spec.versions[0].schema.openAPIV3Schema.properties;
    expect(references(spec).sort()).toEqual([...Object.keys(PLACES), ...Object.keys(UNSERVED), ...PARENTS].sort());
  });

  test.for(Object.entries(UNSERVED))("%s is refused whole, grant or not", ([, spec]) => {
    const status = statusOf(pipeline().apply(OBJECTS + grant("shared") + routeYaml("r", spec)), "r");
    expect(brief(status, "Accepted")).toBe("False/UnsupportedValue");
    expect(message(status, "Accepted")).toMatch(/not served|only header changes/);
  });

  test.for(matrix)("$place with $name: permitted $permitted", ({ spec, yaml, permitted }) => {
    const rig = pipeline();
    const status = statusOf(rig.apply(OBJECTS + yaml + routeYaml("r", spec)), "r");
    expect(brief(status, "ResolvedRefs")).toBe(permitted ? "True/ResolvedRefs" : "False/RefNotPermitted");
  });

  test.for(places)("%s loses its backend at once when the grant goes", ([, spec]) => {
    const rig = pipeline();
    rig.apply(OBJECTS + grant("shared") + routeYaml("r", spec));
    rig.store.remove(keyOf("ReferenceGrant", "shared", "g"));
    expect(brief(statusOf(rig.settle(), "r"), "ResolvedRefs")).toBe("False/RefNotPermitted");
  });

  describe("of a Gateway to a Secret", () => {
    const folder = mkdtempSync(join(tmpdir(), "serviceroute-grants-"));
    afterAll(() => rmSync(folder, { recursive: true, force: true }));
    const { cert, key } = new Pki(folder).issue("one", "/CN=one", "subjectAltName=DNS:one.example.com");
    const data = (file: string): string => readFileSync(file).toString("base64");
    const secret = `---\napiVersion: v1\nkind: Secret\nmetadata: {name: web, namespace: shared}\ntype: kubernetes.io/tls\ndata: {tls.crt: ${data(cert)}, tls.key: ${data(key)}}\n`;
    const gateway = `---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw, namespace: default}\nspec: {gatewayClassName: serviceroute, listeners: [{name: https, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: web, namespace: shared}]}}]}\n`;
    const own = { kind: "Gateway", group: "gateway.networking.k8s.io" };
    const toSecret = { kind: "Secret" };
    const grants: readonly (readonly [string, string, boolean])[] = [
      ["no grant", "", false],
      ["the right grant", grant("shared", own, toSecret), true],
      ["a grant for the name", grant("shared", own, { kind: "Secret", name: "web" }), true],
      ["a grant for another name", grant("shared", own, { kind: "Secret", name: "other" }), false],
      ["a grant in the Gateway's namespace", grant("default", own, toSecret), false],
      ["a grant for routes", grant("shared", {}, toSecret), false],
      ["a grant from another namespace", grant("shared", { ...own, namespace: "third" }, toSecret), false],
      ["a grant to Services", grant("shared", own), false],
    ];
    const resolved = (output: ReturnType<ReturnType<typeof pipeline>["apply"]>): string => {
      const status = output?.gatewayStatuses.get(keyOf("Gateway", "default", "gw"));
      const found = status?.listeners[0]?.conditions.find(({ type }) => type === "ResolvedRefs");
      return `${found?.status ?? ""}/${found?.reason ?? ""}`;
    };

    test.for(grants)("with %s: permitted %s", ([, yaml, permitted]) => {
      const rig = pipeline();
      const output = rig.apply(secret + gateway + yaml);
      expect(resolved(output)).toBe(permitted ? "True/ResolvedRefs" : "False/RefNotPermitted");
      expect(rig.translator.table.listeners.has("default/gw/https" as ListenerId)).toBe(permitted);
    });

    test("when the grant goes, so does the certificate", () => {
      const rig = pipeline();
      rig.apply(secret + gateway + grant("shared", own, toSecret));
      rig.store.remove(keyOf("ReferenceGrant", "shared", "g"));
      expect(resolved(rig.settle())).toBe("False/RefNotPermitted");
      expect(rig.translator.table.listeners.has("default/gw/https" as ListenerId)).toBe(false);
    });

    test("a Secret that may not be referred to is not even asked for", () => {
      const rig = pipeline();
      const asked: string[][] = [];
      rig.translator.onReferencedSecrets((keys) => asked.push([...keys]));
      rig.apply(gateway);
      expect(asked.flat()).toEqual([]);
      rig.apply(grant("shared", own, toSecret));
      expect(asked.at(-1)).toEqual(["Secret/shared/web"]);
    });
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
