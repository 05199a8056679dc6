import { describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import type { ListenerId } from "../../src/routing/listener.ts";
import { fieldPath, parseRoute } from "../../src/translate/parse-route.ts";
import { isForbiddenAddress } from "../../src/translate/addresses.ts";
import { message, statusOf } from "../support/conditions.ts";
import { pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

const WEB = "backendRefs: [{name: web, port: 80}]";
const gateway = (name: string, listeners: string, spec = "", metadata = ""): string =>
  `---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: ${name}${metadata}}\nspec: {gatewayClassName: serviceroute, listeners: [${listeners}]${spec}}\n`;
const BUILTIN = "{group: serviceroute.dev, kind: BuiltinGateway, name: default}";

describe("attaching to parents", () => {
  const listeners =
    "{name: open, port: 81, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}, {name: own, port: 82, protocol: HTTP}, {name: hosts, port: 83, protocol: HTTP, hostname: '*.b.test'}, {name: none, port: 84, protocol: HTTP, allowedRoutes: {namespaces: {from: None}}}, {name: chosen, port: 85, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: shop}}}}}, {name: all, port: 86, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector}}}, {name: others, port: 87, protocol: HTTP, allowedRoutes: {kinds: [{kind: HTTPRoute}]}}, {name: bad, port: 88, protocol: SCTP}, {name: odd, port: 89, protocol: HTTP, allowedRoutes: {namespaces: {from: Elsewhere}}}";
  /** `Accepted` of the one parent, and the listeners that it led to with their hostnames. */
  const attached = (ref: string, hostnames = "a.b.test", namespace = "default"): readonly unknown[] => {
    const rig = pipeline();
    const yaml = routeYaml(
      "r",
      `parentRefs: [${ref}]\nhostnames: [${hostnames}]\nrules: [{${WEB}}]`,
      `namespace: ${namespace}`,
    );
    const team = `---\napiVersion: v1\nkind: Namespace\nmetadata: {name: team, labels: {team: shop}}\n`;
    const output = rig.apply(serviceYaml("web") + team + gateway("gw", listeners) + yaml);
    const status = statusOf(output, "r", namespace);
    const accepted = status.parents[0]?.conditions.find(({ type }) => type === "Accepted");
    const placements = rig.translator.table.routes.get(keyOf("ServiceRoute", namespace, "r"))?.placements ?? [];
    return [
      `${accepted?.status}/${accepted?.reason}: ${accepted?.message}`,
      Object.fromEntries(placements.map(({ listener, hostnames: names }) => [listener.split("/")[2], names])),
    ];
  };
  const YES = "True/Accepted: The route is attached.";
  const at = (section: string): string => `{name: gw, namespace: default, sectionName: ${section}}`;
  const refused = (reason: string, text: string): readonly unknown[] => [`False/${reason}: ${text}`, {}];
  const NOT_ALLOWED = refused("NotAllowedByListeners", "no listener allows ServiceRoutes of this namespace");
  const NO_LISTENER = refused("NoMatchingParent", "no listener has this sectionName and port");
  const UNSERVED = refused("NoMatchingParent", "no listener that could serve this route is accepted");

  test("to every listener that takes the route, with the hostnames that both have", () => {
    expect(attached("{name: gw}")).toEqual([YES, { open: ["a.b.test"], own: ["a.b.test"], hosts: ["a.b.test"] }]);
    expect(attached("{name: gw}", "'*.test'")).toEqual([
      YES,
      { open: ["*.test"], own: ["*.test"], hosts: ["*.b.test"] },
    ]);
    expect(attached("{name: gw}", "c.test, a.b.test, '*.b.test'")[1]).toEqual({
      open: ["c.test", "a.b.test", "*.b.test"],
      own: ["c.test", "a.b.test", "*.b.test"],
      hosts: ["a.b.test", "*.b.test"],
    });
    expect(attached("{name: gw}", "")[1]).toEqual({ open: ["*"], own: ["*"], hosts: ["*.b.test"] });
  });

  test.for<[string, readonly unknown[]]>([
    ["open", [YES, { open: ["a.b.test"] }]],
    ["hosts", [YES, { hosts: ["a.b.test"] }]],
    ["none", NOT_ALLOWED],
    ["odd", NOT_ALLOWED],
    ["chosen", NOT_ALLOWED],
    ["all", NOT_ALLOWED],
    ["others", NOT_ALLOWED],
    ["bad", UNSERVED],
    ["missing", NO_LISTENER],
  ])("to the listener %s", ([section, expected]) => expect(attached(at(section))).toEqual(expected));

  test("by port, and by both", () => {
    expect(attached("{name: gw, port: 81}")).toEqual([YES, { open: ["a.b.test"] }]);
    expect(attached("{name: gw, port: 80}")).toEqual(NO_LISTENER);
    expect(attached("{name: gw, sectionName: open, port: 82}")).toEqual(NO_LISTENER);
  });

  test("to a listener without a hostname in common", () => {
    expect(attached(at("hosts"), "c.test")).toEqual(
      refused("NoMatchingListenerHostname", "no hostname of the route is one of the listener's"),
    );
    expect(attached("{name: gw}", "c.test")).toEqual([YES, { open: ["c.test"], own: ["c.test"] }]);
  });

  test("from another namespace", () => {
    expect(attached(at("own"), "a.b.test", "team")).toEqual(NOT_ALLOWED);
    expect(attached(at("open"), "a.b.test", "team")).toEqual([YES, { open: ["a.b.test"] }]);
    expect(attached(at("chosen"), "a.b.test", "team")).toEqual([YES, { chosen: ["a.b.test"] }]);
    expect(attached(at("chosen"), "a.b.test", "other")).toEqual(NOT_ALLOWED);
  });

  test.for<[string, string]>([
    ["{name: none}", "Gateway default/none does not exist"],
    ["{name: gw, namespace: far}", "Gateway far/gw does not exist"],
    ["{name: gw, kind: Service}", "Service gw cannot be a parent"],
    ["{name: gw, group: example.com}", "Gateway gw cannot be a parent"],
    ["{name: default, kind: BuiltinGateway}", "BuiltinGateway default cannot be a parent"],
    ["{name: default, group: serviceroute.dev}", "Gateway default cannot be a parent"],
    ["{name: other, group: serviceroute.dev, kind: BuiltinGateway}", "BuiltinGateway other cannot be a parent"],
  ])("to %s: %s", ([ref, text]) => expect(attached(ref)).toEqual(refused("NoMatchingParent", text)));

  test("to the built-in gateway, on and off; a Gateway of another controller gets no word of ours", () => {
    expect(attached(BUILTIN)).toEqual([YES, { http: ["a.b.test"] }]);
    const off = pipeline({ builtin: undefined as never }).apply(
      routeYaml("r", `parentRefs: [${BUILTIN}]\nrules: [{${WEB}}]`),
    );
    expect(message(statusOf(off, "r"), "Accepted")).toBe("the built-in gateway is switched off");
    const foreign = gateway("theirs", "{name: http, port: 80, protocol: HTTP}").replace(
      "gatewayClassName: serviceroute",
      "gatewayClassName: theirs",
    );
    const output = pipeline().apply(foreign + routeYaml("r", `parentRefs: [{name: theirs}]\nrules: [{${WEB}}]`));
    expect(statusOf(output, "r").parents).toEqual([]);
  });

  test("to the default Gateways beside those it names, each once, and each listener once", () => {
    const gw = gateway(
      "gw",
      "{name: http, port: 81, protocol: HTTP}",
      "",
      ", annotations: {serviceroute.dev/default-scope: All}",
    );
    const parents = (spec: string): unknown[] => {
      const rig = pipeline();
      const output = rig.apply(serviceYaml("web") + gw + routeYaml("r", `${spec}\nrules: [{${WEB}}]`));
      const placed = rig.translator.table.routes.get(keyOf("ServiceRoute", "default", "r"))?.placements ?? [];
      return [
        statusOf(output, "r").parents.map(({ parentRef }) =>
          `${parentRef.kind} ${parentRef.name} ${parentRef.sectionName ?? ""}`.trim(),
        ),
        placed.map(({ listener }) => listener),
      ];
    };
    const both = ["/builtin/http", "default/gw/http"];
    expect(parents("useDefaultGateways: All")).toEqual([["BuiltinGateway default", "Gateway gw"], both]);
    expect(parents("parentRefs: [{name: gw}]")).toEqual([["Gateway gw"], ["default/gw/http"]]);
    expect(parents("parentRefs: [{name: gw}]\nuseDefaultGateways: All")).toEqual([
      ["Gateway gw", "BuiltinGateway default"],
      both.toReversed(),
    ]);
    expect(parents("parentRefs: [{name: gw}, {name: gw, sectionName: http}]")).toEqual([
      ["Gateway gw", "Gateway gw http"],
      ["default/gw/http"],
    ]);
    expect(parents("useDefaultGateways: None")).toEqual([[], []]);
  });

  test("is counted by listener, and given back when the route goes or moves", () => {
    const rig = pipeline();
    const count = (output: ReturnType<typeof rig.settle>) =>
      output?.gatewayStatuses
        .get(keyOf("Gateway", "default", "gw"))
        ?.listeners.map(({ attachedRoutes }) => attachedRoutes);
    const route = (section: string): string =>
      routeYaml("r", `parentRefs: [{name: gw, sectionName: ${section}}]\nrules: [{${WEB}}]`);
    const two = gateway("gw", "{name: a, port: 81, protocol: HTTP}, {name: b, port: 82, protocol: HTTP}");
    expect(count(rig.apply(serviceYaml("web") + two + route("a")))).toEqual([1, 0]);
    expect(count(rig.apply(route("b")))).toEqual([0, 1]);
    rig.store.remove(keyOf("ServiceRoute", "default", "r"));
    expect(count(rig.settle())).toEqual([0, 0]);
    expect(rig.translator.table.listeners.has("default/gw/a" as ListenerId)).toBe(true);
    rig.store.remove(keyOf("Gateway", "default", "gw"));
    expect(rig.settle()?.gatewayStatuses.get(keyOf("Gateway", "default", "gw"))).toBeUndefined();
    expect([...rig.translator.table.listeners.keys()]).toEqual(["/builtin/http"]);
  });
});

describe("what is left of a spec that is refused", () => {
  const outcome = (spec: unknown): unknown => {
    const parsed = parseRoute(spec);
    return parsed.ok ? parsed.route : { ...parsed, ok: undefined };
  };
  test("where it wanted to go, as far as that can be read", () => {
    const refs = [{ name: "gw" }];
    expect(outcome({ parentRefs: refs, hostnames: ["a.test"], rules: 7, colour: "red" })).toMatchObject({
      parentRefs: refs,
      hostnames: ["a.test"],
      useDefaultGateways: "None",
    });
    expect(outcome({ rules: 7 })).toMatchObject({ parentRefs: [], hostnames: [], useDefaultGateways: "All" });
    expect(outcome({ rules: 7, useDefaultGateways: "None" })).toMatchObject({ useDefaultGateways: "None" });
    expect(outcome({ rules: 7, parentRefs: refs, useDefaultGateways: "All" })).toMatchObject({
      useDefaultGateways: "All",
    });
    expect(outcome({ rules: 7, parentRefs: [{}], hostnames: 7 })).toMatchObject({
      parentRefs: [],
      hostnames: [],
      useDefaultGateways: "None",
    });
    for (const spec of ["text", 7, [], true])
      expect(outcome(spec)).toMatchObject({ parentRefs: [], useDefaultGateways: "All" });
  });

  test("of rules: their names, and the matches that are good by themselves", () => {
    const rules = (list: unknown[], more = {}): unknown[] => {
      const parsed = parseRoute({ rules: list, ...more });
      return parsed.ok
        ? parsed.route.rules.map((rule) =>
            rule.ok
              ? rule.spec
              : [rule.name, rule.matches, rule.errors.map(({ field, message: text }) => `${field}: ${text}`)],
          )
        : [parsed.errors];
    };
    const good = { path: { value: "/a" } };
    expect(rules([{ name: "a", colour: 1, matches: [good, { path: 7 }, null] }, {}])).toEqual([
      ["a", [good], expect.arrayContaining(['rules[0]: unknown field "colour"'])],
      {},
    ]);
    expect(rules([{ name: 7 }, null, { matches: null }, { matches: 7 }])).toEqual([
      [undefined, [{}], [expect.stringMatching(/^rules\[0\]\.name: /)]],
      [undefined, [{}], [expect.stringMatching(/^rules\[1\]: /)]],
      [undefined, [{}], [expect.stringMatching(/^rules\[2\]\.matches: /)]],
      [undefined, [], [expect.stringMatching(/^rules\[3\]\.matches: /)]],
    ]);
    expect(rules([{ name: "a" }, { name: "b" }, { name: "a" }])).toEqual([
      { name: "a" },
      { name: "b" },
      ["a", [{}], ['rules[2].name: "a" is the name of another rule']],
    ]);
    expect(rules([{ name: "a", matches: [good] }], { defaults: { colour: 1, size: 2 } })).toEqual([
      ["a", [good], ['defaults: unknown field "colour", "size"']],
    ]);
    expect(rules([{ name: "a", colour: 1 }], { defaults: 7 })).toEqual([
      ["a", [{}], ['rules[0]: unknown field "colour"']],
    ]);
  });

  test("of a spec without rules: one that takes everything, or says what is wrong with the defaults", () => {
    expect(parseRoute({})).toMatchObject({
      ok: true,
      route: { rules: [{ ok: true, spec: {} }], useDefaultGateways: "All" },
    });
    expect(parseRoute({ defaults: 7 })).toMatchObject({ ok: true, route: { rules: [{ ok: false, matches: [{}] }] } });
  });

  test("as many matches as are allowed, and one more", () => {
    const rules = (count: number) => ({
      rules: Array.from({ length: 4 }, (_, i) => ({
        name: `r${i}`,
        matches: Array.from({ length: i === 0 ? count - 192 : 64 }, (_unused, j) => ({
          path: { value: `/${i}/${j}` },
        })),
      })),
    });
    expect(parseRoute(rules(256)).ok).toBe(true);
    expect(parseRoute({ rules: [...rules(256).rules, {}] })).toMatchObject({
      ok: false,
      errors: [
        {
          field: "rules",
          reason: "UnsupportedValue",
          message: "257 matches in the whole route; at most 256 are allowed",
        },
      ],
    });
  });

  test("fields are written as kubectl writes them", () => {
    expect([
      fieldPath([]),
      fieldPath(["rules", 2, "timeouts", "request"]),
      fieldPath(["a", 0], "rules[1]"),
      fieldPath([0]),
    ]).toEqual(["", "rules[2].timeouts.request", "rules[1].a[0]", "[0]"]);
  });
});

describe("B31: addresses that no backend may have", () => {
  const verdicts = (address: string): readonly boolean[] =>
    [true, false].map((allowLoopback) => isForbiddenAddress(address, { allowLoopback }));
  test.for(["198.51.100.1", "10.0.0.1", "2001:db8::1", "::ffff:198.51.100.1", "fd00::1"])("%s is fine", (address) =>
    expect(verdicts(address)).toEqual([false, false]),
  );
  test.for(["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::FFFF:127.0.0.1"])(
    "%s, where loopback is",
    (address) => expect(verdicts(address)).toEqual([false, true]),
  );
  test.for([
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "224.0.0.1",
    "239.1.2.3",
    "255.255.255.255",
    "::",
    "fe80::1",
    "ff02::1",
    "::ffff:169.254.1.1",
    "fe80::1%eth0",
    "2001:db8::1%1",
    "example.com",
    "",
    "1.2.3",
    "x::ffff:198.51.100.1",
    "::ffff:198.51.100.1x",
  ])("%s never is", (address) => expect(verdicts(address)).toEqual([true, true]));
});
