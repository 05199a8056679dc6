import { fc } from "../support/property.ts";
import { describe, expect, test } from "vitest";
import { type EndpointSet, endpointsKey } from "../../src/routing/endpoints.ts";
import { brief, message, statusOf } from "../support/conditions.ts";
import { objectsFrom, pipeline, routeYaml } from "../support/objects.ts";

const SERVICE =
  "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{name: http, port: 80}, {name: admin, port: 81}]}\n";
const ROUTE = routeYaml("r", "rules: [{backendRefs: [{name: web, port: 80}]}]");

function slice(name: string, endpoints: string, extra = "", type = "IPv4"): string {
  return `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${name}, labels: {kubernetes.io/service-name: web}}
addressType: ${type}
ports: [{name: http, port: 8000}, {name: admin, port: 8001}]
endpoints: ${endpoints}
${extra}`;
}

function endpointsOf(yaml: string, allowLoopback = false): EndpointSet {
  const rig = pipeline({ allowLoopback });
  rig.apply(SERVICE + yaml + ROUTE);
  const set = rig.translator.table.endpoints.get(endpointsKey("default", "web", 80));
  if (set === undefined) throw new Error("no endpoints");
  return set;
}

const usable = (set: EndpointSet): string[] => set.usable.map(({ address, port }) => `${address}:${port}`);

describe("which endpoints get requests", () => {
  test.for([
    ["ready", "{ready: true}", ["198.51.100.1:8000"]],
    ["F31: ready is absent, which is true", "{}", ["198.51.100.1:8000"]],
    ["F32: not ready", "{ready: false}", []],
    [
      "F33: terminating, still serving, and nobody else",
      "{ready: false, serving: true, terminating: true}",
      ["198.51.100.1:8000"],
    ],
    ["F33: terminating and not serving", "{ready: false, serving: false, terminating: true}", []],
  ] as const)("%s", ([, conditions, want]) => {
    expect(usable(endpointsOf(slice("a", `[{addresses: [198.51.100.1], conditions: ${conditions}}]`)))).toEqual(want);
  });

  test("F33: a terminating endpoint gets nothing while another is ready", () => {
    const set = endpointsOf(
      slice(
        "a",
        "[{addresses: [198.51.100.1]}, {addresses: [198.51.100.2], conditions: {ready: false, serving: true, terminating: true}}]",
      ),
    );
    expect(usable(set)).toEqual(["198.51.100.1:8000"]);
    expect([set.ready, set.draining, set.total]).toEqual([1, 1, 2]);
  });

  test("in one order, whatever order they come in", () => {
    const all = ["198.51.100.3", "198.51.100.1", "198.51.100.20", "198.51.100.2"].map((ip) => `{addresses: [${ip}]}`);
    const want = ["198.51.100.1:8000", "198.51.100.20:8000", "198.51.100.2:8000", "198.51.100.3:8000"];
    for (const list of [all, all.toReversed()])
      expect(usable(endpointsOf(slice("a", `[${list.join()}]`)))).toEqual(want);
  });

  test("at their TCP port, not at another protocol's of the same name", () => {
    const both = slice("a", "[{addresses: [198.51.100.1]}]").replace(
      "ports: [",
      "ports: [{name: http, port: 9000, protocol: UDP}, ",
    );
    expect(usable(endpointsOf(both))).toEqual(["198.51.100.1:8000"]);
    expect(usable(endpointsOf(slice("a", "[{addresses: [198.51.100.1]}]", "", "FQDN")))).toEqual([]);
  });

  test.for([
    "169.254.169.254",
    "127.0.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "fe80::1",
    "ff02::1",
    "::",
  ])("B31: %s is dropped", (address) => {
    const set = endpointsOf(slice("a", `[{addresses: ["${address}"]}, {addresses: [198.51.100.1]}]`));
    expect(usable(set)).toEqual(["198.51.100.1:8000"]);
    expect(set.dropped).toEqual([address]);
  });

  test("B31: dropped addresses are counted in a condition, and not shown", () => {
    const rig = pipeline({ allowLoopback: false });
    const output = rig.apply(SERVICE + slice("a", "[{addresses: [127.0.0.1]}, {addresses: [198.51.100.1]}]") + ROUTE);
    const status = statusOf(output, "r");
    expect(brief(status, "EndpointsDropped")).toBe("True/ForbiddenAddress");
    expect(message(status, "EndpointsDropped")).toMatch(/^default\/web:80: 1 endpoint addresses/);
    expect(JSON.stringify(status)).not.toContain("127.0.0.1");
    expect(
      brief(statusOf(rig.apply(slice("a", "[{addresses: [198.51.100.1]}]")), "r"), "EndpointsDropped"),
    ).toBeUndefined();
  });

  test("folders may name loopback", () => {
    expect(usable(endpointsOf(slice("a", "[{addresses: [127.0.0.1]}]"), true))).toEqual(["127.0.0.1:8000"]);
  });

  test.for([
    ["F31: FQDN addresses", slice("a", "[{addresses: [example.com]}]", "", "FQDN")],
    [
      "F31: no ports",
      "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a, labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nendpoints: [{addresses: [198.51.100.1]}]\n",
    ],
    [
      "F31: a port without a number",
      slice("a", "[{addresses: [198.51.100.1]}]").replace("name: http, port: 8000", "name: http"),
    ],
    ["F31: no endpoints", slice("a", "[]")],
    ["F31: no addresses", slice("a", "[{addresses: []}]")],
    ["F32: no slice at all", ""],
  ] as const)("%s: none, and no failure", ([, yaml]) => {
    expect(usable(endpointsOf(yaml))).toEqual([]);
  });

  test("F30: an address in two slices counts once, ready if either says so, whatever the order of events", () => {
    const slices = [
      slice("a", "[{addresses: [198.51.100.1], conditions: {ready: false}}, {addresses: [198.51.100.2]}]"),
      slice("b", "[{addresses: [198.51.100.1]}, {addresses: [198.51.100.3], conditions: {ready: false}}]"),
      slice("c", "[{addresses: [198.51.100.4]}]"),
    ];
    const want = ["198.51.100.1:8000", "198.51.100.2:8000", "198.51.100.4:8000"];
    fc.assert(
      fc.property(fc.shuffledSubarray(slices, { minLength: slices.length }), (order) => {
        const rig = pipeline({ allowLoopback: false });
        rig.apply(SERVICE + ROUTE);
        for (const yaml of order) rig.apply(yaml);
        const set = rig.translator.table.endpoints.get(endpointsKey("default", "web", 80));
        expect(set === undefined ? [] : usable(set)).toEqual(want);
        expect(set?.total).toBe(4);
      }),
      { numRuns: 20 },
    );
  });

  test("F30: a slice that is relabelled takes its endpoints along", () => {
    const rig = pipeline({ allowLoopback: false });
    rig.apply(SERVICE + ROUTE + slice("a", "[{addresses: [198.51.100.1]}]"));
    rig.apply(slice("a", "[{addresses: [198.51.100.1]}]").replace("service-name: web", "service-name: other"));
    expect(rig.translator.table.endpoints.get(endpointsKey("default", "web", 80))?.usable).toEqual([]);
  });

  test("an Endpoints object of a folder serves when there is no slice", () => {
    const yaml =
      "---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: web}\nsubsets: [{addresses: [{ip: 198.51.100.9}], notReadyAddresses: [{ip: 198.51.100.8}], ports: [{name: http, port: 8000}]}]\n";
    const set = endpointsOf(yaml);
    expect(usable(set)).toEqual(["198.51.100.9:8000"]);
    expect(set.total).toBe(2);
  });

  test("of an Endpoints object each subset counts by its own port, an address once, with the best that is said of it", () => {
    const subsets = [
      "{notReadyAddresses: [{ip: 198.51.100.1}, {ip: 198.51.100.2}], ports: [{name: admin, port: 9001}, {name: http, port: 9000}]}",
      "{addresses: [{ip: 198.51.100.1}], ports: [{name: http, port: 9000}]}",
      "{addresses: [{ip: 198.51.100.3}], ports: [{name: admin, port: 9001}]}",
      "{addresses: [{ip: 198.51.100.4}]}",
      "{ports: [{name: http, port: 9000}]}",
    ];
    const yaml = (list: string): string => `---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: web}\n${list}`;
    const set = endpointsOf(yaml(`subsets: [${subsets.join(", ")}]\n`));
    expect([usable(set), set.total]).toEqual([["198.51.100.1:9000"], 2]);
    expect(endpointsOf(yaml("")).total).toBe(0);
  });

  test("a port without a name is that of the slice, or of the Endpoints object, without one", () => {
    const service = SERVICE.replace("{name: http, port: 80}, {name: admin, port: 81}", "{port: 80}");
    const unnamed = "ports: [{name: other, port: 1}, {port: 8000}]";
    const sources = [
      `apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a, labels: {kubernetes.io/service-name: web}}\n${unnamed}\nendpoints: [{addresses: [198.51.100.1]}, {}]`,
      `apiVersion: v1\nkind: Endpoints\nmetadata: {name: web}\nsubsets: [{addresses: [{ip: 198.51.100.1}], ${unnamed}}]`,
    ];
    for (const source of sources) {
      const rig = pipeline({ allowLoopback: false });
      rig.apply(`${service}---\n${source}\n${ROUTE}`);
      const set = rig.translator.table.endpoints.get(endpointsKey("default", "web", 80));
      expect([set === undefined ? [] : usable(set), set?.total]).toEqual([["198.51.100.1:8000"], 1]);
    }
  });

  test("an endpoint change translates no route again and pushes none", () => {
    const rig = pipeline({ allowLoopback: false });
    rig.apply(SERVICE + ROUTE + slice("a", "[{addresses: [198.51.100.1]}]"));
    for (const object of objectsFrom(slice("a", "[{addresses: [198.51.100.2]}]"))) rig.store.apply(object);
    const output = rig.translator.flush();
    expect([...(output?.diff.endpoints.keys() ?? [])]).toEqual(["default/web:80"]);
    expect(output?.diff.routes.size).toBe(0);
    expect(output?.translations.size).toBe(0);
  });
});
