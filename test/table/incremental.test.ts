import { fc } from "../support/property.ts";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { KubeObject } from "../../src/api/objects.ts";
import type { Key } from "../../src/api/keys.ts";
import { tableDump } from "../../src/commands/table-dump.ts";
import { Pki } from "../support/pki.ts";
import { manifestOf, writtenRoute } from "../support/random-routes.ts";
import { objectsFrom, pipeline, type Pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

const RUNS = process.env["SERVICEROUTE_TEST_SIZE"] === "full" ? 200 : 20;
const EDITS_PER_RUN = 50;

const hosts = ["a.example.com", "b.example.com", "*.example.com"];
const paths = ["/", "/x", "/x/y"];
const services = ["s0", "s1", "s2"];

const folder = mkdtempSync(join(tmpdir(), "serviceroute-incremental-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const pki = new Pki(folder);
const pairOf = (name: string): { cert: string; key: string } => {
  const { cert, key } = pki.issue(name, `/CN=${name}`, `subjectAltName=DNS:${name}.example.com`);
  return { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
};
const PAIRS = { a: pairOf("a"), b: pairOf("b") };

const rule = fc
  .record({
    path: fc.constantFrom(...paths),
    service: fc.constantFrom(...services),
    weight: fc.nat(3),
    bad: fc.nat(9),
    method: fc.boolean(),
  })
  .map(
    ({ path, service, weight, bad, method }) =>
      `{matches: [{path: {value: ${path}}${method ? ", method: GET" : ""}}], ${bad === 0 ? "timeouts: {request: x}," : ""} backendRefs: [{name: ${service}, port: 80, weight: ${weight}}, {name: s0, port: 80, namespace: other}]}`,
  );

const route = fc
  .record({
    name: fc.constantFrom("r0", "r1", "r2", "r3"),
    host: fc.subarray(hosts),
    rules: fc.array(rule, { minLength: 1, maxLength: 3 }),
    day: fc.integer({ min: 1, max: 3 }),
    gateway: fc.boolean(),
  })
  .map(({ name, host, rules, day, gateway }) =>
    routeYaml(
      name,
      `hostnames: ${JSON.stringify(host)}\n${gateway ? "parentRefs: [{name: gw}]\n" : ""}rules: [${rules.join(",")}]`,
      `creationTimestamp: "2026-01-0${day}T00:00:00Z"`,
    ),
  );
const service = fc
  .tuple(fc.constantFrom(...services), fc.array(fc.integer({ min: 9000, max: 9003 }), { maxLength: 2 }))
  .map(([name, ports]) => serviceYaml(name, ports));
const grant = fc.constant(
  '---\napiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: g, namespace: other}\nspec: {from: [{group: serviceroute.dev, kind: ServiceRoute, namespace: default}], to: [{group: "", kind: Service}]}\n',
);
/** With every filter and policy, on the default gateway or on one by name. */
const rich = fc
  .tuple(writtenRoute(["r2", "r3", "r4"]), fc.boolean())
  .map(([written, named]) => manifestOf(written, named ? { parentRefs: [{ name: "gw" }] } : {}));
const gateway = fc
  .record({
    from: fc.constantFrom("Same", "None", "Selector"),
    hostname: fc.constantFrom("", "hostname: a.example.com,"),
    secret: fc.constantFrom("tls", "missing"),
    isDefault: fc.boolean(),
  })
  .map(({ from, hostname, secret, isDefault }) => {
    const selector = from === "Selector" ? ", selector: {matchLabels: {team: shop}}" : "";
    const allowed = `${hostname} allowedRoutes: {namespaces: {from: ${from}${selector}}}`;
    const listeners = `{name: http, port: 8081, protocol: HTTP, ${allowed}}, {name: https, port: 8082, protocol: HTTPS, ${allowed}, tls: {certificateRefs: [{name: ${secret}}]}}`;
    const annotations = isDefault ? ", annotations: {serviceroute.dev/default-scope: All}" : "";
    return `---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw${annotations}}\nspec: {gatewayClassName: serviceroute, listeners: [${listeners}]}\n`;
  });
const namespace = fc
  .constantFrom("shop", "other")
  .map((team) => `---\napiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {team: ${team}}}\n`);
/** None that cannot be used: then the last good one stays, which is the one thing that a fresh translation cannot know. */
const secret = fc.constantFrom("a" as const, "b" as const).map((which) => {
  const data = (text: string): string => Buffer.from(text).toString("base64");
  return `---\napiVersion: v1\nkind: Secret\nmetadata: {name: tls}\ntype: kubernetes.io/tls\ndata: {tls.crt: ${data(PAIRS[which].cert)}, tls.key: ${data(PAIRS[which].key)}}\n`;
});
const edit = fc.oneof(
  { weight: 4, arbitrary: route },
  { weight: 4, arbitrary: rich },
  { weight: 3, arbitrary: service },
  grant,
  gateway,
  namespace,
  secret,
  fc.nat(1000).map((n) => `remove ${n}`),
);

const everything = (rig: Pipeline) => ({
  table: tableDump(rig.translator.table),
  routes: [...rig.translator.table.routes.keys()].sort(),
});

function applyEdit(rig: Pipeline, objects: Map<Key, KubeObject>, text: string, generation: number): void {
  if (text.startsWith("remove ")) {
    const key = [...objects.keys()][Number(text.slice(7)) % Math.max(1, objects.size)];
    if (key === undefined) return;
    objects.delete(key);
    rig.store.remove(key);
    return;
  }
  for (const object of objectsFrom(text)) {
    const versioned = { ...object, metadata: { ...object.metadata, generation, resourceVersion: String(generation) } };
    objects.set(object.key, versioned);
    rig.store.apply(versioned);
  }
}

describe("incremental translation", () => {
  test(`equals a full one after ${RUNS * EDITS_PER_RUN} random edits, statuses too`, () => {
    fc.assert(
      fc.property(fc.array(edit, { minLength: EDITS_PER_RUN, maxLength: EDITS_PER_RUN }), (edits) => {
        const rig = pipeline();
        const objects = new Map<Key, KubeObject>();
        const statuses = new Map<Key, unknown>();
        for (const [i, text] of edits.entries()) {
          applyEdit(rig, objects, text, i + 1);
          const output = rig.settle();
          for (const [key, status] of [...(output?.routeStatuses ?? []), ...(output?.gatewayStatuses ?? [])]) {
            if (status === undefined) statuses.delete(key);
            else statuses.set(key, status);
          }
        }
        const fresh = pipeline();
        for (const object of objects.values()) fresh.store.apply(object);
        const full = fresh.settle();
        expect(everything(rig)).toEqual(everything(fresh));
        const wanted = new Map<Key, unknown>([...(full?.routeStatuses ?? []), ...(full?.gatewayStatuses ?? [])]);
        expect(new Map([...statuses].sort())).toEqual(
          new Map([...wanted].filter(([, status]) => status !== undefined).sort()),
        );
      }),
      { numRuns: RUNS },
    );
  });

  test("does not depend on the order in which objects come", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(route, rich, service, grant, gateway, namespace), { maxLength: 12 }),
        fc.infiniteStream(fc.nat(1000)),
        (yamls, order) => {
          const objects = new Map(yamls.flatMap((yaml) => objectsFrom(yaml)).map((object) => [object.key, object]));
          const inOrder = pipeline();
          for (const object of objects.values()) inOrder.store.apply(object);
          inOrder.settle();
          const shuffled = pipeline();
          shuffled.settle();
          const picks = [...order.take(objects.size)];
          const list = [...objects.values()]
            .map((object, i) => ({ object, at: picks[i] ?? 0 }))
            .sort((a, b) => a.at - b.at);
          for (const { object } of list) {
            shuffled.store.apply(object);
            shuffled.settle();
          }
          expect(everything(shuffled)).toEqual(everything(inOrder));
        },
      ),
      { numRuns: RUNS },
    );
  });

  test("F43: nothing is left when everything is gone", () => {
    const rig = pipeline();
    for (let i = 0; i < 200; i++)
      rig.apply(
        serviceYaml(`s${i}`) +
          routeYaml(`r${i}`, `hostnames: [h${i}.example.com]\nrules: [{backendRefs: [{name: s${i}, port: 80}]}]`),
      );
    for (const kind of ["ServiceRoute", "Service", "EndpointSlice"] as const)
      for (const key of [...rig.store.keys(kind)]) rig.store.remove(key);
    rig.settle();
    const { table } = rig.translator;
    const hosts = [...table.listeners.keys()].filter((id) => table.virtualHost(id, "h0.example.com") !== undefined);
    expect([table.routes.size, table.endpoints.size, hosts]).toEqual([0, 0, []]);
    expect(rig.store.keys("ServiceRoute").size).toBe(0);
  });

  test("a change of status alone wakes nobody", () => {
    const rig = pipeline();
    rig.apply(routeYaml("r", "rules: [{}]"));
    const [object] = objectsFrom(routeYaml("r", "rules: [{}]", 'generation: 5, resourceVersion: "7"'));
    rig.store.apply(object!);
    rig.settle();
    rig.store.apply({ ...object!, metadata: { ...object!.metadata, resourceVersion: "8" } });
    expect(rig.translator.flush()).toBeUndefined();
  });
});
