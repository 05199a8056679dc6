import { describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import type { ListenerId } from "../../src/routing/listener.ts";
import { assignAddresses, poolProblem } from "../../src/translate/gateway-addresses.ts";
import { selectorMatches } from "../../src/translate/labels.ts";
import { HTTP, gatewayYaml, said, statusOf } from "../support/gateways.ts";
import { objectsFrom, pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

const classYaml = (name: string, controller: string): string =>
  `---\napiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: ${name}}\nspec: {controllerName: ${controller}}\n`;

describe("a selector on labels", () => {
  const labels = { team: "shop", tier: "web" };
  test.for<[string, object, boolean]>([
    ["nothing", {}, true],
    ["an equal label", { matchLabels: { team: "shop" } }, true],
    ["two labels, one of them not equal", { matchLabels: { team: "shop", tier: "db" } }, false],
    ["a label that is not there", { matchLabels: { other: "x" } }, false],
    ["a name of every object", { matchLabels: { constructor: "x" } }, false],
    ["Exists, of a name of every object", { matchExpressions: [{ key: "constructor", operator: "Exists" }] }, false],
    [
      "DoesNotExist, of a name of every object",
      { matchExpressions: [{ key: "toString", operator: "DoesNotExist" }] },
      true,
    ],
    ["In, with it", { matchExpressions: [{ key: "team", operator: "In", values: ["a", "shop"] }] }, true],
    ["In, without it", { matchExpressions: [{ key: "team", operator: "In", values: ["a"] }] }, false],
    ["In, of a label that is not there", { matchExpressions: [{ key: "x", operator: "In", values: ["a"] }] }, false],
    ["In, without values", { matchExpressions: [{ key: "team", operator: "In" }] }, false],
    ["NotIn, with it", { matchExpressions: [{ key: "team", operator: "NotIn", values: ["shop"] }] }, false],
    ["NotIn, without it", { matchExpressions: [{ key: "team", operator: "NotIn", values: ["a"] }] }, true],
    [
      "NotIn, of a label that is not there",
      { matchExpressions: [{ key: "x", operator: "NotIn", values: ["a"] }] },
      true,
    ],
    ["Exists", { matchExpressions: [{ key: "team", operator: "Exists" }] }, true],
    ["Exists, of one that is not there", { matchExpressions: [{ key: "x", operator: "Exists" }] }, false],
    ["DoesNotExist", { matchExpressions: [{ key: "x", operator: "DoesNotExist" }] }, true],
    ["DoesNotExist, of one that is there", { matchExpressions: [{ key: "team", operator: "DoesNotExist" }] }, false],
    ["an operator that does not exist", { matchExpressions: [{ key: "x", operator: "Near" }] }, false],
    [
      "a label and an expression, which does not hold",
      { matchLabels: { team: "shop" }, matchExpressions: [{ key: "tier", operator: "In", values: ["db"] }] },
      false,
    ],
  ])("%s", ([, selector, expected]) => {
    expect(selectorMatches(selector as never, labels)).toBe(expected);
  });
});

describe("addresses from a pool", () => {
  const gateways = (...yamls: string[]) => objectsFrom(yamls.join("")).filter((object) => object.kind === "Gateway");
  const given = (pool: string | undefined, list: ReturnType<typeof gateways>, last: Record<string, string> = {}) => {
    const before = new Map(Object.entries(last).map(([name, address]) => [keyOf("Gateway", "default", name), address]));
    const results = assignAddresses(list, before, {
      bindAddress: "0.0.0.0",
      ...(pool === undefined ? {} : { addressPool: pool }),
    });
    return list.map(({ key }) => {
      const one = results.get(key)!;
      return one.ok ? `${one.address}${one.own ? "" : " shared"}` : `${one.reason}: ${one.message}`;
    });
  };
  const wants = (name: string, value: string, type = "IPAddress"): string =>
    gatewayYaml(name, HTTP, `, addresses: [{type: ${type}, value: ${value}}]`);

  test("are given in order, the network's own and the broadcast address left out", () => {
    expect(given("192.0.2.8/30", gateways(gatewayYaml("a"), gatewayYaml("b"), gatewayYaml("c")))).toEqual([
      "192.0.2.9",
      "192.0.2.10",
      "AddressNotUsable: no address of 192.0.2.8/30 is free",
    ]);
    expect(given("192.0.2.9/30", gateways(gatewayYaml("a")))).toEqual(["192.0.2.9"]);
    expect(given("192.0.2.6/31", gateways(gatewayYaml("a"), gatewayYaml("b")))).toEqual(["192.0.2.6", "192.0.2.7"]);
    expect(given("192.0.2.6/32", gateways(gatewayYaml("a"), gatewayYaml("b")))[0]).toBe("192.0.2.6");
  });

  test("are kept, and never given twice", () => {
    const list = gateways(gatewayYaml("a"), gatewayYaml("b"), gatewayYaml("c"));
    expect(given("192.0.2.0/29", list, { b: "192.0.2.1", c: "198.51.100.1" })).toEqual([
      "192.0.2.2",
      "192.0.2.1",
      "192.0.2.3",
    ]);
    const results = given("192.0.2.0/29", gateways(wants("a", "192.0.2.1"), gatewayYaml("b")), { b: "192.0.2.1" });
    expect(results).toEqual(["AddressNotUsable: 192.0.2.1 belongs to another Gateway", "192.0.2.1"]);
    const both = gateways(wants("a", "192.0.2.1"), wants("b", "192.0.2.1"));
    expect(given("192.0.2.0/29", both, { b: "192.0.2.1" })).toEqual([
      "AddressNotUsable: 192.0.2.1 belongs to another Gateway",
      "192.0.2.1",
    ]);
  });

  test("are left when their Gateway asks for another", () => {
    const list = gateways(wants("a", "192.0.2.1"), wants("b", "192.0.2.2"));
    expect(given("192.0.2.0/29", list, { b: "192.0.2.1" })).toEqual(["192.0.2.1", "192.0.2.2"]);
  });

  test("are one for each: a second in spec.addresses is not silently left out", () => {
    const two = gatewayYaml("a", HTTP, ", addresses: [{value: 192.0.2.1}, {value: 192.0.2.2}]");
    expect(given("192.0.2.0/29", gateways(two))).toEqual([
      "AddressNotUsable: spec.addresses names 2 addresses; a Gateway has one here",
    ]);
  });

  test("can be asked for, inside of the pool and once", () => {
    const list = gateways(
      wants("a", "192.0.2.5"),
      wants("b", "192.0.2.5"),
      wants("c", "198.51.100.1"),
      wants("d", "x.test", "Hostname"),
    );
    expect(given("192.0.2.0/28", list)).toEqual([
      "192.0.2.5",
      "AddressNotUsable: 192.0.2.5 belongs to another Gateway",
      "AddressNotUsable: 198.51.100.1 is outside of the address pool",
      "UnsupportedAddress: addresses of type Hostname are not supported; use IPAddress",
    ]);
  });

  test("without a pool all share the bind address, but for those that ask for one", () => {
    const list = gateways(gatewayYaml("a"), wants("b", "192.0.2.5"), wants("c", '""'), wants("d", "192.0.2.5"));
    expect(given(undefined, list)).toEqual(["0.0.0.0 shared", "192.0.2.5", "0.0.0.0 shared", "192.0.2.5"]);
  });

  test("behind Services each Gateway has one of its own, whatever the others have", () => {
    const list = gateways(gatewayYaml("a"), gatewayYaml("b"));
    const results = assignAddresses(list, new Map(), { bindAddress: "0.0.0.0", ownAddresses: true });
    expect([...results.values()]).toEqual([
      { ok: true, address: "default/a", own: true },
      { ok: true, address: "default/b", own: true },
    ]);
  });

  test.for(["192.0.2.0/24", "10.0.0.0/8", "192.0.2.1/32"])("%s is a pool", (cidr) =>
    expect(poolProblem(cidr)).toBeUndefined(),
  );
  test.for([
    "192.0.2.0",
    "192.0.2.0/33",
    "192.0.2.0/7",
    "192.0.2/24",
    "::/64",
    "192.0.2.0/24/1",
    "192.0.2.0/x",
    "192.0.2.0/0x10",
    "192.0.2.0/1e1",
    "",
  ])("%s is none", (cidr) => expect(poolProblem(cidr)).toMatch(/is not an IPv4 range such as/));
});

describe("which Gateways are ours", () => {
  const served = (yaml: string, options = {}): string[] => {
    const rig = pipeline(options);
    rig.apply(yaml);
    return [...rig.translator.table.listeners.keys()].filter((id) => !id.startsWith("/")).sort();
  };
  const OURS = "serviceroute.dev/gateway-controller";

  test("those whose class names our controller; in folders those of our class by name, too", () => {
    expect(served(gatewayYaml("gw"))).toEqual(["default/gw/http"]);
    expect(served(gatewayYaml("gw"), { classByName: false })).toEqual([]);
    expect(served(gatewayYaml("gw") + classYaml("serviceroute", OURS), { classByName: false })).toEqual([
      "default/gw/http",
    ]);
    expect(served(gatewayYaml("gw") + classYaml("serviceroute", "other.example/controller"))).toEqual([]);
    expect(served(gatewayYaml("gw"), { gatewayClass: "mine" })).toEqual([]);
    expect(served(gatewayYaml("gw") + classYaml("serviceroute", OURS), { gatewayClass: "mine" })).toEqual([]);
    const mine = gatewayYaml("gw").replace("gatewayClassName: serviceroute", "gatewayClassName: mine");
    expect(served(mine + classYaml("mine", OURS))).toEqual(["default/gw/http"]);
    expect(served(mine + classYaml("mine", OURS), { gatewayClass: "mine" })).toEqual(["default/gw/http"]);
    expect(served(mine, { gatewayClass: "mine" })).toEqual(["default/gw/http"]);
    expect(served(mine)).toEqual([]);
  });

  test("a class that comes or goes takes its Gateways along", () => {
    const rig = pipeline({ classByName: false });
    rig.apply(gatewayYaml("gw"));
    rig.apply(classYaml("serviceroute", OURS));
    expect(rig.translator.table.listeners.has("default/gw/http" as ListenerId)).toBe(true);
    rig.store.remove(keyOf("GatewayClass", "", "serviceroute"));
    rig.settle();
    expect(rig.translator.table.listeners.has("default/gw/http" as ListenerId)).toBe(false);
  });
});

describe("status of a Gateway", () => {
  test("one that serves", () => {
    const status = statusOf(
      gatewayYaml("gw") +
        serviceYaml("web") +
        routeYaml("r", "parentRefs: [{name: gw}]\nrules: [{backendRefs: [{name: web, port: 80}]}]"),
    );
    expect(said(status.conditions, "Accepted")).toBe("True/Accepted: The Gateway is accepted.");
    expect(said(status.conditions, "Programmed")).toBe("True/Programmed: The Gateway serves requests.");
    expect(status.addresses).toEqual([{ type: "IPAddress", value: "127.0.0.1" }]);
    expect(status.listeners).toMatchObject([
      { name: "http", attachedRoutes: 1, supportedKinds: [{ group: "serviceroute.dev", kind: "ServiceRoute" }] },
    ]);
    const [{ conditions } = { conditions: [] }] = status.listeners;
    expect(["Accepted", "Conflicted", "ResolvedRefs", "Programmed"].map((type) => said(conditions, type))).toEqual([
      "True/Accepted: The listener is accepted.",
      "False/NoConflicts: No other listener is in its way.",
      "True/ResolvedRefs: All references resolve.",
      "True/Programmed: The listener serves requests.",
    ]);
  });

  test("one with an empty hostname takes every host, as without one", () => {
    const rig = pipeline();
    rig.apply(gatewayYaml("gw", '{name: http, port: 80, protocol: HTTP, hostname: ""}'));
    expect(rig.translator.table.listeners.get("default/gw/http" as ListenerId)?.hostname).toBe("*");
  });

  test("one whose data plane has said nothing yet", () => {
    const status = statusOf(gatewayYaml("gw"), "gw", {}, false);
    expect(said(status.conditions, "Programmed")).toBe("Unknown/Pending: Waiting for the data plane.");
    expect(status.addresses).toEqual([]);
  });

  test.for([true, false])(
    "one that a replica cannot bind keeps its addresses when others serve it: %s",
    (isServedElsewhere) => {
      const rig = pipeline();
      rig.apply(gatewayYaml("gw"));
      const failed = { kind: "failed", reason: "PortUnavailable", message: "taken", isServedElsewhere } as const;
      rig.translator.setListenerState("default/gw/http" as ListenerId, failed);
      const status = rig.settle()?.gatewayStatuses.get(keyOf("Gateway", "default", "gw"));
      const told = (type: string): string => said(status?.listeners[0]?.conditions ?? [], type);
      const refused = "False/PortUnavailable: taken";
      expect(told("Programmed")).toBe(refused);
      expect(told("Accepted")).toBe(isServedElsewhere ? "True/Accepted: The listener is accepted." : refused);
      expect(said(status?.conditions ?? [], "Programmed")).toBe(
        isServedElsewhere ? refused : "False/Invalid: No listener is valid.",
      );
      expect(status?.addresses.length).toBe(isServedElsewhere ? 1 : 0);
    },
  );

  test.for<[string, string, string, string]>([
    [
      "a protocol that is not served",
      "{name: a, port: 80, protocol: SCTP}",
      "False/UnsupportedProtocol",
      "listeners of protocol SCTP are not served yet; use HTTP, HTTPS, TCP, TLS, UDP",
    ],
    [
      "TLS passed through",
      "{name: a, port: 443, protocol: HTTPS, tls: {mode: Passthrough, certificateRefs: [{name: x}]}}",
      "False/UnsupportedValue",
      "tls.mode of an HTTPS listener must be Terminate",
    ],
    [
      "an option of TLS",
      "{name: a, port: 443, protocol: HTTPS, tls: {options: {example.com/min: '1.3'}, certificateRefs: [{name: x}]}}",
      "False/UnsupportedValue",
      "tls.options: example.com/min is not supported",
    ],
    [
      "validation of clients by the listener",
      "{name: a, port: 443, protocol: HTTPS, tls: {frontendValidation: {caCertificateRefs: []}, certificateRefs: [{name: x}]}}",
      "False/UnsupportedValue",
      "tls.frontendValidation: certificates of clients cannot be validated yet",
    ],
    [
      "a hostname that is none",
      "{name: a, port: 80, protocol: HTTP, hostname: a_b.test}",
      "False/UnsupportedValue",
      'hostname "a_b.test" is no DNS name',
    ],
  ])("%s is refused, and another listener serves", ([, listener, reason, text]) => {
    const status = statusOf(gatewayYaml("gw", `${listener}, {name: good, port: 8081, protocol: HTTP}`));
    expect(said(status.listeners[0]!.conditions, "Accepted")).toContain(reason);
    expect(said(status.listeners[0]!.conditions, "Accepted")).toContain(text);
    expect(said(status.listeners[0]!.conditions, "Programmed")).toContain("False/Invalid");
    expect(said(status.listeners[1]!.conditions, "Programmed")).toContain("True/Programmed");
    expect(said(status.conditions, "Accepted")).toBe("True/ListenersNotValid: 1 of 2 listeners are not valid.");
    expect(said(status.conditions, "Programmed")).toContain("True/Programmed");
  });

  test("one that wants its clients validated serves none of the listeners that this is for", () => {
    const tls = "tls: {certificateRefs: [{name: x}]}";
    const listeners = `{name: a, port: 443, protocol: HTTPS, ${tls}}, {name: b, port: 444, protocol: HTTPS, ${tls}}, {name: c, port: 80, protocol: HTTP}`;
    const accepted = (spec: string): string[] =>
      statusOf(gatewayYaml("gw", listeners, `, tls: {frontend: {${spec}}}`)).listeners.map(({ conditions }) =>
        said(conditions, "Accepted").replace(/:.*/, ""),
      );
    const [yes, no] = ["True/Accepted", "False/UnsupportedValue"];
    const validation = "{validation: {caCertificateRefs: [{name: ca, kind: ConfigMap, group: ''}]}}";
    expect(accepted(`default: ${validation}`)).toEqual([no, no, yes]);
    expect(accepted(`default: {}, perPort: [{port: 444, tls: ${validation}}]`)).toEqual([yes, no, yes]);
    expect(accepted(`default: ${validation}, perPort: [{port: 444, tls: {}}]`)).toEqual([no, yes, yes]);
    expect(accepted("default: {}")).toEqual([yes, yes, yes]);
    const told = statusOf(gatewayYaml("gw", listeners, `, tls: {frontend: {default: ${validation}}}`));
    expect(said(told.listeners[0]!.conditions, "Accepted")).toBe(
      "False/UnsupportedValue: tls.frontend: certificates of clients cannot be validated yet",
    );
  });

  test.for<[string, string]>([
    ["infrastructure: {parametersRef: {group: x.test, kind: P, name: p}}", "False/InvalidParameters"],
    ["addresses: [{type: Hostname, value: x.test}]", "False/UnsupportedAddress"],
  ])("one that is refused as a whole has no routes: %s", ([spec, reason]) => {
    const rig = pipeline();
    const output = rig.apply(
      gatewayYaml("gw", HTTP, `, ${spec}`) +
        serviceYaml("web") +
        routeYaml("r", "parentRefs: [{name: gw}]\nrules: [{backendRefs: [{name: web, port: 80}]}]"),
    );
    const gateway = output?.gatewayStatuses.get(keyOf("Gateway", "default", "gw"));
    expect(said(gateway?.conditions ?? [], "Accepted")).toContain(reason);
    expect(gateway?.listeners[0]?.attachedRoutes).toBe(0);
    const route = output?.routeStatuses.get(keyOf("ServiceRoute", "default", "r"));
    expect(said(route?.parents[0]?.conditions ?? [], "Accepted")).toBe(
      "False/NoMatchingParent: no listener that could serve this route is accepted",
    );
  });

  test("one whose listeners are all accepted, but have no certificate", () => {
    const status = statusOf(gatewayYaml("gw", "{name: a, port: 443, protocol: HTTPS}"));
    expect(said(status.conditions, "Accepted")).toContain("True/Accepted");
    expect(said(status.conditions, "Programmed")).toBe("False/Invalid: No listener serves requests.");
    const one = statusOf(gatewayYaml("gw", `{name: a, port: 443, protocol: HTTPS}, ${HTTP}`));
    expect(said(one.conditions, "Programmed")).toBe("True/Programmed: The Gateway serves requests.");
  });

  test("one without any listener that could be served", () => {
    const status = statusOf(gatewayYaml("gw", "{name: a, port: 80, protocol: SCTP}"));
    expect(said(status.conditions, "Accepted")).toBe("False/ListenersNotValid: No listener is valid.");
    expect(said(status.conditions, "Programmed")).toBe("False/Invalid: No listener is valid.");
  });

  test("one that wants parameters, or an address that it cannot have", () => {
    const parameters = statusOf(
      gatewayYaml("gw", HTTP, ", infrastructure: {parametersRef: {group: x.test, kind: P, name: p}}"),
    );
    expect(said(parameters.conditions, "Accepted")).toBe(
      "False/InvalidParameters: x.test/P p cannot be used as parameters",
    );
    const hostname = statusOf(gatewayYaml("gw", HTTP, ", addresses: [{type: Hostname, value: x.test}]"));
    expect(said(hostname.conditions, "Accepted")).toContain("False/UnsupportedAddress");
    const outside = statusOf(gatewayYaml("gw", HTTP, ", addresses: [{value: 198.51.100.9}]"), "gw", {
      addressPool: "192.0.2.0/28",
    });
    expect(said(outside.conditions, "Accepted")).toContain("True/Accepted");
    expect(said(outside.conditions, "Programmed")).toBe(
      "False/AddressNotUsable: 198.51.100.9 is outside of the address pool",
    );
  });

  test("kinds of routes that nobody serves are named, and the others are allowed", () => {
    const kinds = "allowedRoutes: {kinds: [{kind: TCPRoute}, {group: serviceroute.dev, kind: ServiceRoute}]}";
    const status = statusOf(gatewayYaml("gw", `{name: a, port: 80, protocol: HTTP, ${kinds}}`));
    expect(said(status.listeners[0]!.conditions, "ResolvedRefs")).toBe(
      "False/InvalidRouteKinds: allowedRoutes.kinds: gateway.networking.k8s.io/TCPRoute cannot be attached here",
    );
    expect(status.listeners[0]?.supportedKinds).toEqual([{ group: "serviceroute.dev", kind: "ServiceRoute" }]);
    const none = statusOf(
      gatewayYaml("gw", "{name: a, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: HTTPRoute}]}}"),
    );
    expect(none.listeners[0]?.supportedKinds).toEqual([]);
    const refused = (kinds: string): unknown => {
      const listener = `{name: a, port: 80, protocol: HTTP, allowedRoutes: {kinds: [${kinds}]}}`;
      const [one] = statusOf(gatewayYaml("gw", listener)).listeners;
      return [one?.supportedKinds, said(one?.conditions ?? [], "ResolvedRefs")];
    };
    expect(refused("{kind: ServiceRoute}, {group: serviceroute.dev, kind: TCPRoute}")).toEqual([
      [],
      "False/InvalidRouteKinds: allowedRoutes.kinds: gateway.networking.k8s.io/ServiceRoute, serviceroute.dev/TCPRoute cannot be attached here",
    ]);
  });

  test("HTTP and HTTPS on one port conflict, as do two of one hostname", () => {
    const both = statusOf(
      gatewayYaml("gw", `${HTTP}, {name: tls, port: 80, protocol: HTTPS, tls: {certificateRefs: [{name: x}]}}`),
    );
    expect(both.listeners.map(({ conditions }) => said(conditions, "Conflicted"))).toEqual([
      'True/ProtocolConflict: listener "tls" uses port 80 with protocol HTTPS',
      'True/ProtocolConflict: listener "http" uses port 80 with protocol HTTP',
    ]);
    const hosts = statusOf(
      gatewayYaml(
        "gw",
        `{name: a, port: 80, protocol: HTTP, hostname: x.test}, {name: b, port: 80, protocol: HTTP, hostname: y.test}, {name: c, port: 80, protocol: HTTP, hostname: X.test}`,
      ),
    );
    expect(hosts.listeners.map(({ conditions }) => said(conditions, "Programmed").slice(0, 5))[1]).toBe("True/");
  });

  test("two Gateways on one address: the older keeps the port, the other is told", () => {
    const older = gatewayYaml("b", HTTP, "", ', creationTimestamp: "2026-01-01T00:00:00Z"');
    const younger = gatewayYaml(
      "a",
      `${HTTP}, {name: free, port: 81, protocol: HTTP}`,
      "",
      ', creationTimestamp: "2026-01-02T00:00:00Z"',
    );
    const told = statusOf(younger + older, "a");
    expect(said(told.listeners[0]!.conditions, "Conflicted")).toBe(
      "True/PortUnavailable: another Gateway listens on port 80 of 127.0.0.1",
    );
    expect(said(told.listeners[1]!.conditions, "Programmed")).toContain("True/");
    expect(said(statusOf(younger + older, "b").conditions, "Programmed")).toContain("True/");
    const apart = statusOf(younger + older, "a", { addressPool: "192.0.2.0/28" });
    expect(said(apart.listeners[0]!.conditions, "Conflicted")).toContain("False/");
  });

  test("an address that status says is kept after a restart, though another Gateway is older", () => {
    const pool = { addressPool: "192.0.2.0/28" };
    const kept = gatewayYaml("kept") + "status: {addresses: [{type: IPAddress, value: 192.0.2.1}]}\n";
    const older = gatewayYaml("older", HTTP, "", ", creationTimestamp: '2020-01-01T00:00:00Z'");
    const rig = pipeline(pool);
    rig.apply(older + kept);
    const address = (name: string) => rig.translator.table.listeners.get(`default/${name}/http` as ListenerId)?.address;
    expect([address("kept"), address("older")]).toEqual(["192.0.2.1", "192.0.2.2"]);
  });

  test("those of ours are told, without the built-in one, now and whenever one changes", () => {
    const rig = pipeline();
    const told: string[][] = [];
    rig.translator.onGateways((views) => told.push(views.map(({ key }) => key)));
    rig.apply(gatewayYaml("a"));
    rig.apply(gatewayYaml("b") + gatewayYaml("c").replace("gatewayClassName: serviceroute", "gatewayClassName: other"));
    rig.store.remove(keyOf("Gateway", "default", "a"));
    expect(told).toEqual([
      [],
      ["Gateway/default/a"],
      ["Gateway/default/a", "Gateway/default/b"],
      ["Gateway/default/b"],
    ]);
  });

  test("a listener of which a data plane takes its word back waits again", () => {
    const rig = pipeline();
    const id = "default/gw/http" as ListenerId;
    const programmed = (output: ReturnType<typeof rig.settle>): string =>
      said(
        output?.gatewayStatuses.get(keyOf("Gateway", "default", "gw"))?.listeners[0]?.conditions ?? [],
        "Programmed",
      );
    expect(programmed(rig.apply(gatewayYaml("gw")))).toContain("Unknown/");
    rig.translator.setListenerState(id, { kind: "serving" });
    expect(programmed(rig.settle())).toContain("True/");
    rig.translator.setListenerState(id, undefined);
    expect(programmed(rig.settle())).toContain("Unknown/");
    rig.translator.setListenerState(id, undefined);
    expect(rig.settle()).toBeUndefined();
  });

  test("an address is kept while its Gateway lives, though an older one comes", () => {
    const rig = pipeline({ addressPool: "192.0.2.0/28" });
    const address = (name: string) => rig.translator.table.listeners.get(`default/${name}/http` as ListenerId)?.address;
    rig.apply(gatewayYaml("young"));
    rig.apply(gatewayYaml("old", HTTP, "", ", creationTimestamp: '2020-01-01T00:00:00Z'"));
    expect([address("young"), address("old")]).toEqual(["192.0.2.1", "192.0.2.2"]);
  });

  test("one that goes and comes again is served again", () => {
    const rig = pipeline();
    const key = keyOf("Gateway", "default", "gw");
    for (let round = 0; round < 3; round++) {
      const output = rig.apply(gatewayYaml("gw"));
      expect(output?.gatewayStatuses.get(key)).toBeDefined();
      expect(output?.diff.listeners.size).toBe(round === 0 ? 2 : 1);
      expect(rig.translator.table.listeners.has("default/gw/http" as ListenerId)).toBe(true);
      rig.store.remove(key);
      const gone = rig.settle();
      expect([...(gone?.gatewayStatuses ?? [])]).toEqual([[key, undefined]]);
      expect([...(gone?.diff.listeners ?? [])]).toEqual([["default/gw/http", undefined]]);
    }
  });

  test("the word of a data plane, said again, changes nothing", () => {
    const rig = pipeline();
    rig.apply(gatewayYaml("gw"));
    rig.translator.setListenerState("default/gw/http" as ListenerId, { kind: "serving" });
    expect(rig.settle()).toBeDefined();
    rig.translator.setListenerState("default/gw/http" as ListenerId, { kind: "serving" });
    expect(rig.settle()).toBeUndefined();
  });

  test("default Gateways by field or by annotation", () => {
    const attached = (spec: string, metadata: string): number | undefined =>
      statusOf(
        gatewayYaml("gw", HTTP, spec, metadata) +
          serviceYaml("web") +
          routeYaml("r", "rules: [{backendRefs: [{name: web, port: 80}]}]"),
      ).listeners[0]?.attachedRoutes;
    expect(attached("", "")).toBe(0);
    expect(attached(", defaultScope: All", "")).toBe(1);
    expect(attached("", ", annotations: {serviceroute.dev/default-scope: All}")).toBe(1);
    expect(attached(", defaultScope: None", ", annotations: {serviceroute.dev/default-scope: All}")).toBe(0);
  });
});
