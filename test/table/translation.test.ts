import { describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import { parseObject } from "../../src/api/objects.ts";
import { BAD_RULES, BAD_SPECS } from "../support/bad-input.ts";
import { brief, message, statusOf } from "../support/conditions.ts";
import { pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

/** The status of one route made from `spec`, with Services web and other beside it. */
function translated(spec: string) {
  const rig = pipeline();
  const output = rig.apply(serviceYaml("web") + serviceYaml("other") + routeYaml("r", spec));
  const key = keyOf("ServiceRoute", "default", "r");
  return { status: statusOf(output, "r"), table: rig.translator.table.routes.get(key) };
}

const rule = (text: string): string => `rules: [{${text}}]`;
const WEB = "backendRefs: [{name: web, port: 80}]";

test("a Service that says nothing of itself has no port", () => {
  const bare = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\n";
  for (const service of [bare, `${bare}spec: {}\n`]) {
    const status = statusOf(pipeline().apply(service + routeYaml("r", rule(WEB))), "r");
    expect(brief(status, "ResolvedRefs")).toBe("False/BackendNotFound");
  }
});

describe("every rule of the schema, straight into translation", () => {
  test.for(BAD_SPECS)("%s refuses the route", ([, spec, text]) => {
    const { status, table } = translated(spec);
    expect(brief(status, "Accepted")).toBe("False/UnsupportedValue");
    expect(message(status, "Accepted")).toMatch(text);
    expect(brief(status, "Stalled")).toBe("True/UnsupportedValue");
    expect(table).toBeUndefined();
  });

  test.for(BAD_RULES)("%s makes its rule answer 500", ([, text, why]) => {
    const { status, table } = translated(rule(text));
    expect(brief(status, "Accepted")).toMatch(/^False\/(UnsupportedValue|IncompatibleFilters)$/);
    expect(message(status, "Accepted")).toMatch(why);
    for (const { rule: built } of table?.entries ?? []) expect(built.action.kind).toBe("fail");
  });

  test.for([
    ["sessionPersistence", "{type: Cookie}"],
    ["rateLimits", "[{name: a, count: 1, interval: 1s}]"],
    ["fault", "{abort: {statusCode: 503, percent: 1}}"],
    ["authentication", "{type: None}"],
    ["authorization", "{defaultAction: Allow}"],
    ["compression", "{algorithms: [Gzip]}"],
    ["loadBalancing", "{algorithm: Maglev}"],
    ["loadBalancing", "{slowStart: 3s}"],
  ] as const)("%s %s is refused by name until it is served", ([name, value]) => {
    for (const spec of [rule(`${name}: ${value}, ${WEB}`), `defaults: {${name}: ${value}}\n${rule(WEB)}`]) {
      const { status } = translated(spec);
      expect(brief(status, "Accepted")).toBe("False/UnsupportedValue");
      expect(message(status, "Accepted")).toMatch(new RegExp(`${name}.*not served yet`));
    }
  });
});

describe("one bad rule costs no other", () => {
  const spec = `rules:
- {name: good, matches: [{path: {value: /good}}], ${WEB}}
- {name: admin, matches: [{path: {value: /admin}}], timeouts: {request: forever}, ${WEB}}`;

  test("S15: it keeps its matches, answers 500, and status says so", () => {
    const { status, table } = translated(spec);
    expect(brief(status, "Accepted")).toBe("True/Accepted");
    expect(brief(status, "PartiallyInvalid")).toBe("True/UnsupportedValue");
    expect(message(status, "PartiallyInvalid")).toMatch(/rules\[1\].timeouts.request/);
    expect(table?.entries.map(({ rule: built }) => [built.index, built.action.kind])).toEqual([
      [0, "forward"],
      [1, "fail"],
    ]);
  });

  test("matches that cannot be understood are named as dropped", () => {
    const { status, table } = translated(`rules: [{${WEB}}, {name: odd, matches: [{path: {value: nope}}], ${WEB}}]`);
    expect(message(status, "PartiallyInvalid")).toMatch(/^Dropped Rule odd: .*\(not every match of odd\)/);
    expect(table?.entries).toHaveLength(1);
  });
});

describe("references", () => {
  test.for([
    ["B17: a Service that is not there", "{name: nobody, port: 80}", "BackendNotFound"],
    ["B33: a port that is not there", "{name: web, port: 81}", "BackendNotFound"],
    ["an unknown kind", "{name: web, port: 80, group: x.example, kind: Bucket}", "InvalidKind"],
    [
      "a kind that is not served yet",
      "{name: web, port: 80, group: multicluster.x-k8s.io, kind: ServiceImport}",
      "InvalidKind",
    ],
    ["B15: another namespace", "{name: web, port: 80, namespace: elsewhere}", "RefNotPermitted"],
  ] as const)("%s gets its share answered with 500", ([, ref, reason]) => {
    const { status } = translated(rule(`backendRefs: [{name: web, port: 80, weight: 3}, ${ref}]`));
    expect(brief(status, "ResolvedRefs")).toBe(`False/${reason}`);
    expect(brief(status, "Accepted")).toBe("True/Accepted");
    expect(status.rules[0]?.backends?.map(({ sharePercent, outcome }) => [sharePercent, outcome])).toEqual([
      [75, "Forwarded"],
      [25, reason],
    ]);
  });

  test("S27: not permitted reads the same whether the Service exists or not", () => {
    const text = (extra: string): string => {
      const rig = pipeline();
      return message(
        statusOf(
          rig.apply(extra + routeYaml("r", rule("backendRefs: [{name: web, port: 80, namespace: elsewhere}]"))),
          "r",
        ),
        "ResolvedRefs",
      );
    };
    expect(text(serviceYaml("web", [1], "elsewhere"))).toBe(text(""));
  });

  test("B30, F35, F50: an ExternalName Service is refused, whatever its name resolves to", () => {
    const rig = pipeline();
    const external =
      "---\napiVersion: v1\nkind: Service\nmetadata: {name: out}\nspec: {type: ExternalName, externalName: localhost, ports: [{port: 80}]}\n";
    const status = statusOf(rig.apply(external + routeYaml("r", rule("backendRefs: [{name: out, port: 80}]"))), "r");
    expect(brief(status, "ResolvedRefs")).toBe("False/BackendNotFound");
    expect(message(status, "ResolvedRefs")).toMatch(/ExternalName/);
  });

  test("F35: a Service that changes its type is refused, and recovers, without a touch of the route", () => {
    const rig = pipeline();
    rig.apply(serviceYaml("web") + routeYaml("r", rule(WEB)));
    const external =
      "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {type: ExternalName, externalName: a.test}\n";
    const after = (yaml: string): string | undefined => brief(statusOf(rig.apply(yaml), "r"), "ResolvedRefs");
    expect(after(external)).toBe("False/BackendNotFound");
    expect(rig.translator.table.endpoints.size).toBe(0);
    expect(after(serviceYaml("web"))).toBe("True/ResolvedRefs");
    expect(rig.translator.table.endpoints.size).toBe(1);
    const headless = serviceYaml("web").replace("spec: {", "spec: {clusterIP: None, ");
    expect(rig.apply(headless)?.translations.size ?? 0).toBeLessThanOrEqual(1);
    expect(rig.translator.table.endpoints.size).toBe(1);
  });

  test("F42: a route of more than a megabyte is translated like any other, and says so", () => {
    const value = "x".repeat(4096);
    const matches = Array.from(
      { length: 64 },
      (_, i) =>
        `{headers: [${Array.from({ length: 6 }, (_unused, h) => `{name: h${h}, value: "${i}-${h}-${value.slice(8)}"}`).join(", ")}]}`,
    );
    const spec = `rules: [{matches: [${matches.join(", ")}], ${WEB}}]`;
    expect(spec.length).toBeGreaterThan(1.4 * 1024 * 1024);
    const { status, table } = translated(spec);
    expect([brief(status, "Accepted"), table?.entries.length]).toEqual(["True/Accepted", 64]);
  });

  test("F35: a Service that goes and comes back needs no touch of the route", () => {
    const rig = pipeline();
    rig.apply(serviceYaml("web") + routeYaml("r", rule(WEB)));
    rig.store.remove(keyOf("Service", "default", "web"));
    expect(brief(statusOf(rig.translator.flush(), "r"), "ResolvedRefs")).toBe("False/BackendNotFound");
    expect(brief(statusOf(rig.apply(serviceYaml("web", [9005])), "r"), "ResolvedRefs")).toBe("True/ResolvedRefs");
  });
});

describe("defaults", () => {
  test("a rule's field replaces the default's whole", () => {
    const { table } = translated(
      `defaults: {timeouts: {request: 5s, connect: 1s}}\nrules: [{${WEB}}, {timeouts: {request: 9s}, ${WEB}}]`,
    );
    expect(table?.entries.map(({ rule: { policy } }) => [policy.requestTimeoutMs, policy.connectTimeoutMs])).toEqual([
      [5000, 1000],
      [9000, 5000],
    ]);
  });

  test("filters merge by slot", () => {
    const set = (name: string): string =>
      `{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: ${name}, value: x}]}}`;
    const { table } = translated(
      `defaults: {filters: [${set("from-default")}, {type: CORS, cors: {}}]}\nrules: [{filters: [${set("from-rule")}], ${WEB}}]`,
    );
    const filters = table?.entries[0]?.rule.filters;
    expect(filters?.requestHeaders?.set).toEqual([["from-rule", "x"]]);
    expect(filters?.cors).toBeDefined();
  });

  test("a default redirect and a rule with backends do not go together", () => {
    const { status } = translated(
      `defaults: {filters: [{type: RequestRedirect, requestRedirect: {port: 81}}]}\n${rule(WEB)}`,
    );
    expect(brief(status, "Accepted")).toBe("False/IncompatibleFilters");
  });
});

describe("conflicts", () => {
  const at = (time: string, namespace = "default"): string => `namespace: ${namespace}, creationTimestamp: "${time}"`;

  test("B9: the older of two equal matches wins, and the loser is told by whom", () => {
    const rig = pipeline();
    const output = rig.apply(
      serviceYaml("web") +
        routeYaml("young", rule(WEB), at("2026-02-02T00:00:00Z")) +
        routeYaml("old", rule(WEB), at("2026-01-01T00:00:00Z")),
    );
    expect(brief(statusOf(output, "young"), "Shadowed")).toBe("True/Shadowed");
    expect(message(statusOf(output, "young"), "Shadowed")).toMatch(
      /rules\[0\] of ServiceRoute default\/old takes every request \(age\)/,
    );
    expect(brief(statusOf(output, "old"), "Shadowed")).toBeUndefined();
  });

  test("S27: a winner of another namespace is not named", () => {
    const rig = pipeline();
    const output = rig.apply(
      routeYaml("young", "rules: [{}]", at("2026-02-02T00:00:00Z")) +
        routeYaml("old", "rules: [{}]", at("2026-01-01T00:00:00Z", "other")),
    );
    expect(message(statusOf(output, "young"), "Shadowed")).toMatch(/a route in another namespace takes/);
  });

  test("the shadow goes with its caster", () => {
    const rig = pipeline();
    const output = rig.apply(
      routeYaml("young", "rules: [{}]", at("2026-02-02T00:00:00Z")) +
        routeYaml("old", "rules: [{}]", at("2026-01-01T00:00:00Z")),
    );
    expect(brief(statusOf(output, "young"), "Shadowed")).toBe("True/Shadowed");
    rig.store.remove(keyOf("ServiceRoute", "default", "old"));
    expect(brief(statusOf(rig.settle(), "young"), "Shadowed")).toBeUndefined();
  });
});

describe("B43: names that are dangerous as keys of objects are plain data", () => {
  test.for(["__proto__", "constructor", "prototype", "hasOwnProperty"])("%s", (name) => {
    const { status, table } = translated(
      rule(`matches: [{headers: [{name: ${name}, value: x}], queryParams: [{name: ${name}, value: y}]}], ${WEB}`),
    );
    expect(brief(status, "Accepted")).toBe("True/Accepted");
    expect(table?.entries[0]?.match.headers[0]?.name).toBe(name.toLowerCase());
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });
});

describe("parents", () => {
  const gateway = (name: string, more = "", className = "serviceroute"): string =>
    `---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: ${name}}\nspec: {gatewayClassName: ${className}, listeners: [{name: http, port: 8000, protocol: HTTP${more}}]}\n`;
  const accepted = (parents: string, objects: string): string | undefined => {
    const rig = pipeline();
    return brief(
      statusOf(rig.apply(serviceYaml("web") + objects + routeYaml("r", `parentRefs: [${parents}]\n${rule(WEB)}`)), "r"),
      "Accepted",
    );
  };

  test.for([
    ["a Gateway that is there", "{name: gw}", "True/Accepted"],
    ["B14: a Gateway that is not", "{name: nobody}", "False/NoMatchingParent"],
    ["B14: a listener that is not", "{name: gw, sectionName: nobody}", "False/NoMatchingParent"],
    ["B14: a port that is not", "{name: gw, port: 9}", "False/NoMatchingParent"],
    ["B14: a kind that cannot be one", "{name: gw, kind: Service, group: ''}", "False/NoMatchingParent"],
    ["the built-in gateway by name", "{name: default, group: serviceroute.dev, kind: BuiltinGateway}", "True/Accepted"],
    ["worst wins", "{name: gw}, {name: nobody}", "False/NoMatchingParent"],
  ] as const)("%s", ([, parents, want]) => {
    expect(accepted(parents, gateway("gw"))).toBe(want);
  });

  test("B14: of a Gateway of another controller nothing is said", () => {
    const rig = pipeline();
    const status = statusOf(
      rig.apply(gateway("theirs", "", "other") + routeYaml("r", `parentRefs: [{name: theirs}]\n${rule(WEB)}`)),
      "r",
    );
    expect(status.parents).toEqual([]);
  });

  test("B10: a listener that allows its own namespace alone keeps its host from others", () => {
    const rig = pipeline();
    const thief = routeYaml(
      "thief",
      `parentRefs: [{name: gw, namespace: default}]\nhostnames: [shop.example.com]\n${rule("")}`,
      "namespace: elsewhere",
    );
    expect(
      brief(
        statusOf(rig.apply(gateway("gw", ", hostname: shop.example.com") + thief), "thief", "elsewhere"),
        "Accepted",
      ),
    ).toBe("False/NotAllowedByListeners");
  });

  test("useDefaultGateways: None without parents is a draft, and no default gateway at all is told of", () => {
    const rig = pipeline();
    expect(brief(statusOf(rig.apply(routeYaml("r", `useDefaultGateways: None\n${rule(WEB)}`)), "r"), "Accepted")).toBe(
      "False/NoMatchingParent",
    );
  });
});

describe("versions of one object", () => {
  const versioned = (path: string, generation: number): string =>
    routeYaml(
      "r",
      `rules: [{matches: [{path: {value: ${path}}}], ${WEB}}]`,
      `uid: u, generation: ${generation}, resourceVersion: "${generation}"`,
    );

  test("F5: an older one that comes late changes nothing", () => {
    const rig = pipeline();
    rig.apply(serviceYaml("web") + versioned("/new", 2));
    rig.apply(versioned("/old", 1));
    const [entry] = rig.translator.table.routes.get(keyOf("ServiceRoute", "default", "r"))?.entries ?? [];
    expect(entry?.match.path).toEqual({ kind: "prefix", value: "/new" });
  });

  test("F37: another object of the same name counts as new, whatever its generation", () => {
    const rig = pipeline();
    rig.apply(serviceYaml("web") + versioned("/first", 7));
    rig.apply(versioned("/second", 1).replace("uid: u", "uid: other"));
    const [entry] = rig.translator.table.routes.get(keyOf("ServiceRoute", "default", "r"))?.entries ?? [];
    expect(entry?.match.path).toEqual({ kind: "prefix", value: "/second" });
  });
});

describe("status says no more than is true", () => {
  const empty = "---\napiVersion: v1\nkind: Service\nmetadata: {name: empty}\nspec: {ports: [{port: 80}]}\n";

  test("with nobody left to redistribute to, each backend keeps its share, of 503s", () => {
    const output = pipeline().apply(
      empty + routeYaml("r", "rules: [{whenNoEndpoints: Redistribute, backendRefs: [{name: empty, port: 80}]}]"),
    );
    expect(statusOf(output, "r").rules[0]?.backends).toMatchObject([{ sharePercent: 100, outcome: "NoEndpoints" }]);
  });

  test("a route that is refused as a whole tells its parents, and names the hosts that it wants", () => {
    const gateway =
      "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec: {gatewayClassName: serviceroute, listeners: [{name: http, port: 8081, protocol: HTTP}]}\n";
    const rig = pipeline();
    const output = rig.apply(
      gateway +
        serviceYaml("web") +
        routeYaml("r", `parentRefs: [{name: gw}]\nhostnames: [BAD_, good.example.com]\n${rule(WEB)}`),
    );
    const { parents, summary } = statusOf(output, "r");
    expect(parents.map(({ parentRef, conditions }) => [parentRef.name, conditions[0]?.reason])).toEqual([
      ["gw", "UnsupportedValue"],
    ]);
    expect(summary).toMatchObject({ hostnames: "BAD_ +1", proxies: "0/0" });
    const gateways = output?.gatewayStatuses.get(keyOf("Gateway", "default", "gw"));
    expect(gateways?.listeners[0]?.attachedRoutes).toBe(0);
  });

  test("a rule keeps its name when it cannot be built, and its backends when all weights are 0", () => {
    const { status } = translated(
      `rules: [{name: odd, timeouts: {request: forever}, ${WEB}}, {name: none, backendRefs: [{name: web, port: 80, weight: 0}]}]`,
    );
    expect(status.rules.map(({ name, backends }) => [name, backends?.map((b) => b.sharePercent)])).toEqual([
      ["odd", undefined],
      ["none", [0]],
    ]);
  });

  test("a draft is no mistake of anybody's", () => {
    const { status } = translated(`useDefaultGateways: None\n${rule(WEB)}`);
    expect(brief(status, "Accepted")).toBe("False/NoMatchingParent");
    expect(message(status, "Accepted")).toMatch(/^A draft/);
    expect(status.conditions.map(({ type }) => type)).not.toContain("Stalled");
    expect(status.summary.proxies).toBe("0/0");
  });
});

test("B38: a time longer than any timer is as long as one can be", () => {
  const { table } = translated(
    rule(
      `timeouts: {request: 9999h, backendRequest: 9999h, idle: 9999h, connect: 9999h}, retry: {backoff: 9999h}, ${WEB}`,
    ),
  );
  const { policy } = table!.entries[0]!.rule;
  for (const ms of [
    policy.requestTimeoutMs,
    policy.backendTimeoutMs,
    policy.idleTimeoutMs,
    policy.connectTimeoutMs,
    policy.retry.backoffMs,
  ])
    expect(ms).toBe(2 ** 31 - 1);
});

test.for(["a/b", "Not A Name!", "", "a..b/", "x".repeat(254)])("B42: %s is no name of an object", (name) => {
  for (const metadata of [
    { name, namespace: "default" },
    { name: "ok", namespace: name === "" ? "/" : name.replaceAll(".", "/") },
  ]) {
    const parsed = parseObject("ServiceRoute", { metadata, spec: {} });
    expect(parsed.ok).toBe(false);
  }
});
