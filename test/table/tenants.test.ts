import { fc } from "../support/property.ts";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { normalisePath } from "../../src/routing/request-path.ts";
import { keyOf } from "../../src/api/keys.ts";
import { tableDump } from "../../src/commands/table-dump.ts";
import { brief, message, statusOf } from "../support/conditions.ts";
import { objectsFrom, pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

const ROOT = join(import.meta.dirname, "../..");
const FULL = process.env["SERVICEROUTE_TEST_SIZE"] === "full";
const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const WEB = "backendRefs: [{name: web, port: 80}]";
const inNamespace = (name: string, namespace: string, spec: string): string =>
  routeYaml(name, spec, `namespace: ${namespace}`);

describe("S31: a tenant who churns", () => {
  const ROUTES = FULL ? 2000 : 400;

  test("makes nobody else's routes be translated or written again, with their own hosts and with the same one", () => {
    for (const host of ["b.example.com", "shared.example.com"]) {
      const rig = pipeline();
      rig.apply(serviceYaml("web", [9001], "b") + inNamespace("calm", "b", `hostnames: [${host}]\nrules: [{${WEB}}]`));
      const calm = keyOf("ServiceRoute", "b", "calm");
      const before = rig.translator.table.routes.get(calm);
      const noisy = (i: number, port: number): string =>
        serviceYaml(`s${i}`, [port], "a") +
        inNamespace(
          `r${i}`,
          "a",
          `hostnames: [a${i}.example.com, ${i % 2 === 0 ? "shared.example.com" : "x.example.com"}]\nrules: [{matches: [{path: {value: /a${i}}}], backendRefs: [{name: s${i}, port: 80}]}]`,
        );
      const touched = [9001, 9002].flatMap((port) =>
        range(ROUTES).flatMap((i) => {
          const output = rig.apply(noisy(i, port));
          return [output?.translations.has(calm), output?.routeStatuses.has(calm)];
        }),
      );
      expect(touched.filter((one) => one === true)).toEqual([]);
      expect(rig.translator.table.routes.get(calm)).toBe(before);
    }
  });
});

describe("F36: a namespace is deleted", () => {
  const KEPT =
    inNamespace("kept", "b", `hostnames: [b.example.com]\nrules: [{${WEB}}]`) + serviceYaml("web", [9001], "b");
  const GONE =
    `---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {team: x}}\n` +
    `---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw, namespace: a}\nspec: {gatewayClassName: serviceroute, listeners: [{name: http, port: 81, protocol: HTTP}, {name: https, port: 82, protocol: HTTPS, tls: {certificateRefs: [{name: tls}]}}]}\n` +
    `---\napiVersion: v1\nkind: Secret\nmetadata: {name: tls, namespace: a}\ntype: kubernetes.io/tls\ndata: {}\n` +
    `---\napiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: g, namespace: a}\nspec: {from: [{group: serviceroute.dev, kind: ServiceRoute, namespace: b}], to: [{group: "", kind: Service}]}\n` +
    serviceYaml("web", [9002], "a") +
    inNamespace("r", "a", `parentRefs: [{name: gw}]\nrules: [{${WEB}}]`) +
    inNamespace("default-gateway", "a", `hostnames: [a.example.com]\nrules: [{${WEB}}]`);
  const FROM_AFAR = inNamespace(
    "afar",
    "b",
    "hostnames: [c.example.com]\nrules: [{backendRefs: [{name: web, namespace: a, port: 80}]}]",
  );

  test("in any order: what is left is what was never there, and nobody else is touched on the way", () => {
    const wanted = pipeline();
    wanted.apply(KEPT + FROM_AFAR);
    const all = objectsFrom(GONE).map(({ key }) => key);
    const kept = keyOf("ServiceRoute", "b", "kept");
    fc.assert(
      fc.property(fc.shuffledSubarray(all, { minLength: all.length }), (order) => {
        const rig = pipeline();
        rig.apply(KEPT + FROM_AFAR + GONE);
        for (const key of order) {
          rig.store.remove(key);
          const output = rig.settle();
          expect([output?.failures ?? [], output?.routeStatuses.has(kept) ?? false]).toEqual([[], false]);
        }
        expect(tableDump(rig.translator.table)).toEqual(tableDump(wanted.translator.table));
        for (const key of [kept, keyOf("ServiceRoute", "b", "afar")])
          expect(rig.translator.routeStatus(key)).toEqual(wanted.translator.routeStatus(key));
        expect([...rig.translator.routeKeys()].sort()).toEqual([...wanted.translator.routeKeys()].sort());
      }),
      { numRuns: FULL ? 5000 : 200 },
    );
  });
});

describe("S2: text of tenants is data", () => {
  /** Anything, and mostly what templates, formats and shells give a meaning to. */
  const lettersOf = (letters: string, maxLength: number) =>
    fc.string({ unit: fc.constantFrom(...letters.split("")), minLength: 1, maxLength });
  const field = fc.oneof(
    { weight: 4, arbitrary: lettersOf(`abc09 %"'\\{}$<>&;|()[]#@!*~\`,.:/=+-_^?`, 40) },
    { weight: 2, arbitrary: lettersOf("ab0-.", 5) },
    fc.string({ unit: "binary", minLength: 1, maxLength: 40 }),
  );
  const places: Readonly<Record<string, (text: string) => string>> = {
    "a header's value": (text) =>
      `{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: ${text}}]}}], ${WEB}}`,
    "a direct response's body": (text) =>
      `{filters: [{type: DirectResponse, directResponse: {statusCode: 200, body: ${text}}}]}`,
    "a header match": (text) => `{matches: [{headers: [{name: a, value: ${text}}]}], ${WEB}}`,
    "a query match": (text) => `{matches: [{queryParams: [{name: a, value: ${text}}]}], ${WEB}}`,
    "a replaced path": (text) =>
      `{filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: ${text}}}}], ${WEB}}`,
    "a redirect's host": (text) => `{filters: [{type: RequestRedirect, requestRedirect: {hostname: ${text}}}]}`,
  };
  const strings = (value: unknown): string[] => {
    if (typeof value === "string") return [value];
    return typeof value === "object" && value !== null ? Object.values(value).flatMap(strings) : [];
  };

  test.for(Object.entries(places))("%s comes into the table as it is, or is refused", ([, place]) => {
    let kept = 0;
    fc.assert(
      fc.property(field, (text) => {
        const rig = pipeline();
        const spec = `rules: [${place(JSON.stringify(text))}]`;
        // Characters that YAML itself does not allow never come this far.
        let yaml: string;
        try {
          parse(spec);
          yaml = serviceYaml("web") + routeYaml("r", spec);
          objectsFrom(yaml);
        } catch {
          return;
        }
        const output = rig.apply(yaml);
        const entries = rig.translator.table.routes.get(keyOf("ServiceRoute", "default", "r"))?.entries ?? [];
        const accepted = brief(statusOf(output, "r"), "Accepted") === "True/Accepted";
        if (accepted) {
          kept++;
          // A path is given its leading slash, and the one form that all paths have.
          const path = normalisePath(text.startsWith("/") ? text : `/${text}`);
          const found = strings(entries.map(({ match, rule }) => ({ match, rule })));
          expect(found.includes(text) || (path.ok && found.includes(path.path)), text).toBe(true);
        } else {
          expect(entries.every(({ rule }) => rule.action.kind === "fail")).toBe(true);
        }
      }),
      { numRuns: FULL ? 5000 : 300 },
    );
    expect(kept).toBeGreaterThan(10);
  });
});

describe("B12: selectors on labels", () => {
  test("every example selects on the label that only the API server sets, and the documentation says why", () => {
    const files = readdirSync(ROOT, { recursive: true, encoding: "utf8" }).filter(
      (name) => /^(docs|manifests|README)/.test(name) && /\.(md|yaml)$/.test(name),
    );
    const selectorsIn = (value: unknown): { matchLabels?: object }[] => {
      if (typeof value !== "object" || value === null) return [];
      const { from, selector } = value as { from?: unknown; selector?: object };
      return [...(from === "Selector" ? [selector ?? {}] : []), ...Object.values(value).flatMap(selectorsIn)];
    };
    const selectors = files.flatMap((name) => {
      const text = readFileSync(join(ROOT, name), "utf8");
      // In prose examples are fragments.
      const fragments = [...text.matchAll(/\{from: Selector.*?\}\}\}/gs)].map(
        ([fragment]) => parse(fragment) as unknown,
      );
      const found = name.endsWith(".md")
        ? fragments
        : parseAllDocuments(text).map((document) => document.toJS() as unknown);
      return found.flatMap(selectorsIn).map((selector) => ({ name, selector }));
    });
    expect(selectors.length).toBeGreaterThan(0);
    for (const { name, selector } of selectors)
      expect(Object.keys(selector.matchLabels ?? {}), name).toEqual(["kubernetes.io/metadata.name"]);
    expect(readFileSync(join(ROOT, "docs/api.md"), "utf8")).toMatch(/label that a tenant may set/);
  });
});

describe("what is not served is said so", () => {
  const told = (ref: string) => {
    const output = pipeline().apply(serviceYaml("web") + routeYaml("r", `rules: [{backendRefs: [${ref}]}]`));
    return statusOf(output, "r");
  };

  test.for([
    "10.0.0.1",
    "api.example.com",
    "api.example.com.",
    "kubernetes.default.svc.cluster.local",
    '"*.example.com"',
    '"a\\0b"',
  ])("B32: a host as a backend, %s: nothing is looked up", (name) => {
    const status = told(`{name: ${name}, port: 80}`);
    const verdict = [brief(status, "Accepted"), brief(status, "ResolvedRefs")];
    expect(verdict.some((one) => /^False\/(UnsupportedValue|BackendNotFound)$/.test(one ?? ""))).toBe(true);
    expect(status.rules.flatMap(({ backends = [] }) => backends.map(({ outcome }) => outcome))).not.toContain(
      "Forwarded",
    );
  });

  test.for([
    "{group: serviceroute.dev, kind: ServiceRoute, name: r}",
    "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}",
  ])("B41: delegation to another route, or to itself: %s", (ref) => {
    const status = told(ref);
    expect(brief(status, "ResolvedRefs")).toBe("False/InvalidKind");
    expect(message(status, "ResolvedRefs")).toContain("not a supported backend");
  });

  test("B41: a route as a parent", () => {
    const output = pipeline().apply(
      serviceYaml("web") +
        routeYaml("r", `parentRefs: [{group: serviceroute.dev, kind: ServiceRoute, name: r}]\nrules: [{${WEB}}]`),
    );
    expect(brief(statusOf(output, "r"), "Accepted")).toBe("False/NoMatchingParent");
  });
});
