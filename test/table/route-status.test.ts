import { describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import type { ListenerId } from "../../src/routing/listener.ts";
import type { ListenerState, Liveness } from "../../src/routing/programmed.ts";
import type { DesiredRouteStatus } from "../../src/routing/status-report.ts";
import { condition, verdict, worst } from "../../src/translate/conditions.ts";
import type { TranslateOptions } from "../../src/translate/options.ts";
import { pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

const HTTP = "/builtin/http" as ListenerId;
const WEB = "backendRefs: [{name: web, port: 80}]";
const SERVING = { kind: "serving" } as const;
const FAILED = { kind: "failed", reason: "PortUnavailable", message: "port 80 is in use" } as const;

interface Feedback {
  readonly liveness?: Liveness;
  readonly listeners?: Readonly<Record<string, ListenerState>>;
  readonly options?: Partial<TranslateOptions>;
}

/** Status of the route `name` in `namespace`, with what data planes are made to say. */
function statusOf(yaml: string, { liveness, listeners = { [HTTP]: SERVING }, options }: Feedback = {}, name = "r") {
  const rig = pipeline(options);
  rig.apply(yaml);
  const key = keyOf("ServiceRoute", "default", name);
  for (const [id, state] of Object.entries(listeners)) rig.translator.setListenerState(id as ListenerId, state);
  if (liveness !== undefined) rig.translator.setLiveness(key, liveness);
  rig.settle();
  const status = rig.translator.routeStatus(key);
  if (status === undefined) throw new Error("no status");
  return status;
}
const told = ({ conditions }: Pick<DesiredRouteStatus, "conditions">, type: string): string | undefined => {
  const found = conditions.find((one) => one.type === type);
  return found === undefined ? undefined : `${found.status}/${found.reason}: ${found.message}`;
};
const live = (count: number, total: number, generation = 3): Liveness => ({ generation, live: count, total });
const ROUTE = serviceYaml("web") + routeYaml("r", `hostnames: [a.example.com]\nrules: [{${WEB}}]`, "generation: 3");

describe("Programmed is what the data planes say", () => {
  test.for<[string, Feedback, string, string]>([
    ["the listener is not there", { listeners: {} }, "Unknown/Pending: Listener /builtin/http does not serve.", "0/0"],
    [
      "the listener has failed",
      { listeners: { [HTTP]: FAILED }, liveness: live(2, 2) },
      "False/ListenerNotProgrammed: port 80 is in use",
      "0/2",
    ],
    ["nothing has been said", {}, "Unknown/Pending: Waiting for the data plane.", "0/0"],
    ["another generation is live", { liveness: live(2, 2, 2) }, "Unknown/Pending: Waiting for the data plane.", "0/0"],
    ["nobody serves", { liveness: live(0, 0) }, "Unknown/NoProxies: No proxy serves the Gateway's traffic.", "0/0"],
    ["one of two serves", { liveness: live(1, 2) }, "Unknown/Pending: live on 1 of 2", "1/2"],
    ["all serve", { liveness: live(2, 2) }, "True/Programmed: live on 2 of 2", "2/2"],
  ])("%s", ([, feedback, expected, proxies]) => {
    const status = statusOf(ROUTE, feedback);
    expect([told(status, "Programmed"), status.summary.proxies]).toEqual([expected, proxies]);
    expect(told(status.parents[0]!, "Programmed")).toBe(expected);
    expect(told(status, "Ready")).toBe(expected.startsWith("True") ? "True/Ready: Accepted and programmed." : expected);
    expect([told(status, "Accepted"), told(status, "Stalled")]).toEqual([
      "True/Accepted: The route is attached.",
      undefined,
    ]);
    expect(new Set(status.conditions.map((one) => one.observedGeneration))).toEqual(new Set([3]));
  });

  test("of two listeners, one that has failed comes before one that says nothing", () => {
    const gateway = `---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec: {gatewayClassName: serviceroute, listeners: [{name: a, port: 81, protocol: HTTP}, {name: b, port: 82, protocol: HTTP}]}\n`;
    const yaml = gateway + ROUTE.replace("hostnames:", "parentRefs: [{name: gw}]\n  hostnames:");
    const say = (listeners: Readonly<Record<string, ListenerState>>) =>
      told(statusOf(yaml, { listeners, liveness: live(1, 1) }), "Programmed");
    expect(say({ "default/gw/b": FAILED })).toBe("False/ListenerNotProgrammed: port 80 is in use");
    expect(say({ "default/gw/a": SERVING })).toBe("Unknown/Pending: Listener default/gw/b does not serve.");
    expect(say({ "default/gw/a": SERVING, "default/gw/b": SERVING })).toBe("True/Programmed: live on 1 of 1");
  });
});

describe("Accepted", () => {
  const NO_TIME = "Invalid string: must match pattern /^([0-9]{1,5}(h|m|s|ms)){1,4}$/";
  const refused = (spec: string, reason: string): void => {
    const status = statusOf(routeYaml("r", spec), { liveness: live(1, 1, 0) });
    expect(told(status, "Accepted")).toBe(reason);
    expect(told(status, "Programmed")).toBe("False/Invalid: The route is not accepted.");
    expect(told(status, "Ready")).toBe(reason);
    expect(told(status, "Stalled")).toBe(reason.replace("False", "True"));
    expect(status.summary.proxies).toBe("0/1");
  };

  test("of a route that nobody takes", () =>
    refused(
      `parentRefs: [{name: none}]\nuseDefaultGateways: None\nrules: [{${WEB}}]`,
      "False/NoMatchingParent: Gateway default/none does not exist",
    ));
  test("of a route whose rules are all wrong, with each field", () =>
    refused(
      `rules: [{timeouts: {request: x}, ${WEB}}, {timeouts: {request: y}, ${WEB}}]`,
      `False/UnsupportedValue: rules[0].timeouts.request: ${NO_TIME}; rules[1].timeouts.request: ${NO_TIME}`,
    ));
  test("of a route that cannot be read at all", () => {
    const status = statusOf(routeYaml("r", "rules: soon"));
    expect(told(status, "Accepted")).toMatch(/^False\/UnsupportedValue: rules: .*expected array/);
    expect(told(status, "Programmed")).toBe("False/Invalid: The route is not accepted.");
    expect([status.parents, status.rules]).toEqual([expect.any(Array), []]);
  });
  test("of a route without a default gateway to take it", () => {
    const rig = pipeline({ builtin: undefined as never });
    const status = rig
      .apply(routeYaml("r", `rules: [{${WEB}}]`))
      ?.routeStatuses.get(keyOf("ServiceRoute", "default", "r"));
    expect(told(status ?? { conditions: [] }, "Accepted")).toBe(
      "False/NoMatchingParent: No Gateway of this controller takes the route: name one in parentRefs, or mark a Gateway as default.",
    );
    expect(told(status ?? { conditions: [] }, "Stalled")).toContain("True/NoMatchingParent: No Gateway");
  });
  test("of a draft, which is not stalled", () => {
    const status = statusOf(serviceYaml("web") + routeYaml("r", `useDefaultGateways: None\nrules: [{${WEB}}]`));
    expect(told(status, "Accepted")).toBe(
      "False/NoMatchingParent: A draft: it has no parentRefs, and useDefaultGateways is None.",
    );
    expect([told(status, "Stalled"), status.parents]).toEqual([undefined, []]);
  });
});

describe("parents are written back in full", () => {
  const refOf = (ref: string): object | undefined =>
    statusOf(routeYaml("r", `parentRefs: [${ref}]\nrules: [{${WEB}}]`)).parents[0]?.parentRef;
  test.for<[string, object]>([
    ["{name: gw}", { group: "gateway.networking.k8s.io", kind: "Gateway", namespace: "default", name: "gw" }],
    [
      "{name: gw, namespace: far, sectionName: s, port: 80}",
      {
        group: "gateway.networking.k8s.io",
        kind: "Gateway",
        namespace: "far",
        name: "gw",
        sectionName: "s",
        port: 80,
      },
    ],
    [
      "{group: serviceroute.dev, kind: BuiltinGateway, name: default}",
      { group: "serviceroute.dev", kind: "BuiltinGateway", name: "default" },
    ],
  ])("%s", ([ref, full]) => expect(refOf(ref)).toEqual(full));

  test("each has its own conditions, and the route the worst of them", () => {
    const builtin = "{group: serviceroute.dev, kind: BuiltinGateway, name: default}";
    const status = statusOf(
      serviceYaml("web") + routeYaml("r", `parentRefs: [${builtin}, {name: x}, {name: y}]\nrules: [{${WEB}}]`),
      { liveness: live(1, 1, 0) },
    );
    expect(status.parents.map((parent) => told(parent, "Accepted"))).toEqual([
      "True/Accepted: The route is attached.",
      "False/NoMatchingParent: Gateway default/x does not exist",
      "False/NoMatchingParent: Gateway default/y does not exist",
    ]);
    expect(status.parents.map((parent) => told(parent, "Programmed"))).toEqual([
      "True/Programmed: live on 1 of 1",
      "False/Invalid: The route is not accepted.",
      "False/Invalid: The route is not accepted.",
    ]);
    expect(told(status, "Accepted")).toBe("False/NoMatchingParent: Gateway default/x does not exist (+1 more)");
    expect(told(status, "Programmed")).toBe("False/Invalid: The route is not accepted. (+1 more)");
  });
});

describe("backends of each rule", () => {
  const draining = serviceYaml("old").replace(
    "endpoints: [{addresses: [127.0.0.1]}]",
    "endpoints: [{addresses: [127.0.0.2], conditions: {ready: false, serving: true, terminating: true}}, {addresses: [127.0.0.3], conditions: {ready: false}}]",
  );
  const rows = (yaml: string) =>
    statusOf(yaml).rules.map(({ name, backends }) => [
      name,
      backends?.map(({ name: service, weight, sharePercent, outcome, endpoints }) =>
        [
          service,
          weight,
          sharePercent,
          outcome,
          endpoints && `${endpoints.ready}+${endpoints.draining}/${endpoints.total}`,
        ].join(" "),
      ),
    ]);

  test("have shares, outcomes and counts", () => {
    const refs =
      "backendRefs: [{name: web, port: 80, weight: 3}, {name: old, port: 80}, {name: none, port: 80, weight: 0}, {name: missing, port: 80, weight: 4}]";
    const yaml =
      serviceYaml("web", [9001, 9002]) + draining + serviceYaml("none", []) + routeYaml("r", `rules: [{${refs}}]`);
    expect(rows(yaml)).toEqual([
      [
        "rules[0]",
        [
          "web 3 38 Forwarded 2+0/2",
          "old 1 12 Forwarded 0+1/2",
          "none 0 0 NoEndpoints 0+0/0",
          "missing 4 50 BackendNotFound ",
        ],
      ],
    ]);
  });

  test("that have no endpoint give their share away where that is asked for", () => {
    const refs = "backendRefs: [{name: web, port: 80}, {name: none, port: 80}, {name: missing, port: 80, weight: 2}]";
    const yaml = serviceYaml("web") + serviceYaml("none", []);
    expect(rows(yaml + routeYaml("r", `rules: [{whenNoEndpoints: Redistribute, ${refs}}]`))[0]?.[1]).toEqual([
      "web 1 33 Forwarded 1+0/1",
      "none 1 0 Redistributed 0+0/0",
      "missing 2 67 BackendNotFound ",
    ]);
    expect(rows(yaml + routeYaml("r", `rules: [{${refs}}]`))[0]?.[1]).toEqual([
      "web 1 25 Forwarded 1+0/1",
      "none 1 25 NoEndpoints 0+0/0",
      "missing 2 50 BackendNotFound ",
    ]);
  });

  test("of rules that answer themselves are none", () => {
    const direct = "filters: [{type: DirectResponse, directResponse: {statusCode: 200}}]";
    expect(rows(serviceYaml("web") + routeYaml("r", `rules: [{name: a, ${direct}}, {name: b, ${WEB}}]`))).toEqual([
      ["a", undefined],
      ["b", ["web 1 100 Forwarded 1+0/1"]],
    ]);
  });

  test("are summed up, a Service of two rules once, draining ones where nothing is ready", () => {
    const rules = `rules: [{backendRefs: [{name: web, port: 80}, {name: old, port: 80}, {name: gone, port: 80}]}, {matches: [{path: {value: /x}}], ${WEB}}]`;
    const yaml = serviceYaml("web", [9001, 9002]) + draining;
    const summary = (hostnames: string) => statusOf(yaml + routeYaml("r", `${hostnames}${rules}`)).summary;
    expect(summary("")).toEqual({ hostnames: "*", endpoints: "3/4", proxies: "0/0" });
    expect(summary("hostnames: [a.test]\n").hostnames).toBe("a.test");
    expect(summary("hostnames: [a.test, b.test, c.test]\n").hostnames).toBe("a.test +2");
  });
});

describe("what is said only while it holds", () => {
  test("addresses that must not be used are counted, not shown", () => {
    const slice = (name: string, addresses: string): string =>
      serviceYaml(name).replace("[{addresses: [127.0.0.1]}]", `[${addresses}]`);
    const yaml =
      slice("web", "{addresses: [127.0.0.1]}, {addresses: [198.51.100.1]}, {addresses: [169.254.1.1]}") +
      slice("two", "{addresses: [224.0.0.1]}") +
      routeYaml("r", "rules: [{backendRefs: [{name: web, port: 80}, {name: two, port: 80}]}]");
    const text = "endpoint addresses are loopback, link-local, multicast or unspecified";
    expect(told(statusOf(yaml, { options: { allowLoopback: false } }), "EndpointsDropped")).toBe(
      `True/ForbiddenAddress: default/web:80: 2 ${text}; default/two:80: 1 ${text}`,
    );
    expect(told(statusOf(ROUTE), "EndpointsDropped")).toBeUndefined();
  });

  test("rules that are dropped are named, and those of which one match is", () => {
    const bad = "timeouts: {request: x}";
    const status = statusOf(
      serviceYaml("web") +
        routeYaml("r", `rules: [{name: a, ${bad}, ${WEB}}, {name: b, ${WEB}}, {name: c, ${bad}, ${WEB}}]`),
    );
    expect(told(status, "PartiallyInvalid")).toMatch(
      /^True\/UnsupportedValue: Dropped Rule a, c: what it matches is answered with 500\. rules\[0\]\.timeouts\.request: .*; rules\[2\]\.timeouts\.request: /,
    );
    expect(told(status, "Accepted")).toBe("True/Accepted: The route is attached.");
    const match = statusOf(
      serviceYaml("web") +
        routeYaml(
          "r",
          `rules: [{name: a, matches: [{path: {value: /a}}, {path: {type: RegularExpression, value: "("}}], ${WEB}}, {name: b, ${WEB}}]`,
        ),
    );
    expect(told(match, "PartiallyInvalid")).toContain(
      "Dropped Rule a: what it matches is answered with 500 (not every match of a). rules[0].matches[1].path.value: ",
    );
  });

  test("matches that are never reached name who takes their requests, but not in another namespace (S27)", () => {
    const first = (namespace: string): string =>
      routeYaml(
        "first",
        `hostnames: [a.example.com]\nrules: [{name: own, ${WEB}}]`,
        `namespace: ${namespace}, creationTimestamp: "2026-01-01T00:00:00Z"`,
      );
    const second = routeYaml(
      "r",
      `hostnames: [a.example.com]\nrules: [{name: mine, matches: [{path: {value: /}}, {path: {value: /}, method: GET}], ${WEB}}, {name: again, ${WEB}}]`,
      'creationTimestamp: "2026-01-02T00:00:00Z"',
    );
    const said = (namespace: string) => told(statusOf(first(namespace) + second), "Shadowed");
    expect(said("default")).toMatch(
      /^True\/Shadowed: mine match 0: own of ServiceRoute default\/first takes every request \(.+\); again match 0: own of ServiceRoute default\/first takes every request \(.+\)$/,
    );
    expect(said("far")).toContain("mine match 0: a route in another namespace takes every request (");
    expect(said("far")).not.toMatch(/first|own/);
    expect(told(statusOf(ROUTE), "Shadowed")).toBeUndefined();
  });
});

describe("a pattern for every path", () => {
  const shadows = (first: string, second: string): string | undefined =>
    told(
      statusOf(
        serviceYaml("web") +
          routeYaml("r", `rules: [{name: a, matches: [${first}], ${WEB}}, {name: b, matches: [${second}], ${WEB}}]`),
      ),
      "Shadowed",
    );
  const all = (source: string, more = ""): string =>
    `{path: {type: RegularExpression, value: ${JSON.stringify(source)}}${more}}`;

  test.for([".*", "/.*", "^/.*$", ".+"])("takes every request from prefixes and later patterns: %s", (source) => {
    const text = "True/Shadowed: b match 0: a of ServiceRoute default/r takes every request (path)";
    expect(shadows(all(source), "{path: {value: /never}}")).toBe(text);
    expect(shadows(all(source), "{path: {value: /never}, method: GET}")).toBe(text);
    expect(shadows(all("/.*"), all(".*"))?.slice(0, 40)).toBe(text.slice(0, 40));
  });

  test("leaves exact paths, longer patterns and what its own conditions leave", () => {
    expect(shadows(all(".*"), "{path: {type: Exact, value: /a}}")).toBeUndefined();
    expect(shadows(all(".*"), all("/shop/[0-9]+"))).toBeUndefined();
    for (const more of [
      "method: GET",
      "headers: [{name: a, value: b}]",
      "headers: [{name: a, value: b}], cookies: [{name: a, value: b}]",
      "headers: [{name: a, value: b}], queryParams: [{name: a, value: b}]",
      "cookies: [{name: a, value: b}], queryParams: [{name: a, value: b}]",
    ])
      expect(shadows(all(".*", `, ${more}`), "{path: {value: /a}}")).toBeUndefined();
    expect(shadows(all("/a.*"), "{path: {value: /a}}")).toBeUndefined();
  });

  test("is told of when it comes, and no more when it goes", () => {
    const rig = pipeline();
    const shadowed = (output: ReturnType<typeof rig.settle>, name: string): boolean | undefined =>
      output?.routeStatuses
        .get(keyOf("ServiceRoute", "default", name))
        ?.conditions.some(({ type }) => type === "Shadowed");
    rig.apply(serviceYaml("web") + routeYaml("r", `rules: [{matches: [{path: {value: /a}}], ${WEB}}]`));
    const every = (name: string) => routeYaml(name, `rules: [{matches: [${all("/.*")}], ${WEB}}]`);
    expect(shadowed(rig.apply(every("one")), "r")).toBe(true);
    expect(shadowed(rig.apply(every("two")), "two")).toBe(true);
    rig.store.remove(keyOf("ServiceRoute", "default", "one"));
    const next = rig.settle();
    expect([shadowed(next, "two"), shadowed(next, "r")]).toEqual([false, true]);
    rig.store.remove(keyOf("ServiceRoute", "default", "two"));
    expect(shadowed(rig.settle(), "r")).toBe(false);
  });
});

describe("conditions", () => {
  test("have messages of at most 2,048 characters", () => {
    const made = (length: number): string => condition("A", 1, verdict("True", "R", "x".repeat(length))).message;
    expect(made(2048)).toBe("x".repeat(2048));
    expect(made(2049)).toBe(`${"x".repeat(2047)}…`);
  });

  test("that say the same are one object, however many others there have been, and differ by each of their parts", () => {
    const make = (message: string) => condition("A", 1, verdict("True", "R", message));
    expect(make("same")).toBe(make("same"));
    for (let i = 0; i < 5000; i++) make(`other ${i}`);
    expect(make("same")).toEqual({ type: "A", status: "True", reason: "R", message: "same", observedGeneration: 1 });
    const parts = [
      condition("A", 1, verdict("True", "R", "m")),
      condition("B", 1, verdict("True", "R", "m")),
      condition("A", 2, verdict("True", "R", "m")),
      condition("A", 1, verdict("False", "R", "m")),
      condition("A", 1, verdict("True", "S", "m")),
      condition("A", 1, verdict("True", "R", "n")),
    ];
    expect(new Set(parts.map((one) => JSON.stringify(one))).size).toBe(6);
    expect(Object.isFrozen(parts[0])).toBe(true);
  });

  test("of several the worst counts, the first of equals, and how many more there are", () => {
    const [yes, no, unknown] = [verdict("True", "Y", "yes"), verdict("False", "N", "no"), verdict("Unknown", "U", "?")];
    expect(worst([])).toBeUndefined();
    expect(worst([yes, { ...yes, message: "also" }])).toEqual(yes);
    expect(worst([yes, unknown])).toEqual(unknown);
    expect(worst([unknown, no, yes])).toEqual(no);
    expect(worst([no, yes, { ...no, message: "nor" }, no])).toEqual({ ...no, message: "no (+2 more)" });
  });
});
