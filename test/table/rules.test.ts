import { describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import type { ListenerId } from "../../src/routing/listener.ts";
import type { RouteRule } from "../../src/routing/rule.ts";
import { brief, message, statusOf } from "../support/conditions.ts";
import { pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

const WEB = "backendRefs: [{name: web, port: 80}]";
const KEY = keyOf("ServiceRoute", "default", "r");

function translated(spec: string, more = "") {
  const rig = pipeline();
  const output = rig.apply(serviceYaml("web") + more + routeYaml("r", spec));
  const entries = rig.translator.table.routes.get(KEY)?.entries ?? [];
  return { rig, status: statusOf(output, "r"), rules: [...new Set(entries.map(({ rule }) => rule))] };
}
const actionOf = ([rule]: readonly RouteRule[]): string => {
  const action = rule?.action;
  return action?.kind === "fail" ? `${action.reason}: ${action.message}` : (action?.kind ?? "none");
};

describe("a rule that cannot be built", () => {
  test.for<[string, string]>([
    [
      "backendRefs: [{name: web, port: 80, filters: [{type: CORS, cors: {}}]}]",
      "rules[0].backendRefs[0].filters: only header changes, rewrites and mirrors are served inside a backendRef",
    ],
    [
      "backendRefs: [{name: web, port: 80}, {name: web, port: 80, filters: [{type: RequestRedirect, requestRedirect: {port: 81}}]}]",
      "rules[0].backendRefs[1].filters: only header changes, rewrites and mirrors are served inside a backendRef",
    ],
    [
      "backendRefs: [{name: web, port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [Host]}}]}]",
      'rules[0].backendRefs[0].filters[0].requestHeaderModifier.remove[0]: header "Host" belongs to the gateway and cannot be changed',
    ],
  ])("%s", ([rule, text]) => {
    const { status, rules } = translated(`rules: [{${rule}}]`);
    expect(message(status, "Accepted")).toBe(text);
    expect(actionOf(rules)).toBe(`InvalidRule: ${text}`);
  });

  test("because a filter of the defaults answers what its backends should", () => {
    const defaults = "defaults: {filters: [{type: DirectResponse, directResponse: {statusCode: 200}}]}";
    const { status, rules } = translated(`${defaults}\nrules: [{${WEB}}]`);
    expect(message(status, "Accepted")).toBe("rules[0].backendRefs: must be empty when a filter answers the request");
    expect(brief(status, "Accepted")).toBe("False/IncompatibleFilters");
    expect(actionOf(rules)).toContain("InvalidRule: rules[0].backendRefs: must be empty");
    expect(actionOf(translated(`${defaults}\nrules: [{}]`).rules)).toBe("respond");
  });

  test("because defaults and its matches do not go together", () => {
    const rewrite =
      "defaults: {filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /n}}}]}";
    const outcome = (match: string): string =>
      message(translated(`${rewrite}\nrules: [{matches: [{path: {value: /p}}, ${match}], ${WEB}}]`).status, "Accepted");
    const text = "defaults.filters[0]: ReplacePrefixMatch needs every match of rules[0] to be a PathPrefix";
    expect(outcome("{path: {type: Exact, value: /a}}")).toBe(text);
    expect(outcome("{path: {type: RegularExpression, value: /a}}")).toBe(text);
    expect(outcome("{grpc: {service: a.B}}")).toBe(text);
    expect(outcome("{path: {type: PathPrefix, value: /a}}")).toBe("The route is attached.");
    expect(outcome("{method: GET}")).toBe("The route is attached.");
    const redirect = rewrite.replace("URLRewrite, urlRewrite", "RequestRedirect, requestRedirect");
    expect(
      message(translated(`${redirect}\nrules: [{matches: [{path: {type: Exact, value: /a}}]}]`).status, "Accepted"),
    ).toBe(text);
    const full = rewrite.replace("ReplacePrefixMatch, replacePrefixMatch", "ReplaceFullPath, replaceFullPath");
    expect(
      message(translated(`${full}\nrules: [{matches: [{path: {type: Exact, value: /a}}], ${WEB}}]`).status, "Accepted"),
    ).toBe("The route is attached.");
  });
});

describe("what a rule does", () => {
  test.for<[string, string]>([
    [WEB, "forward"],
    ["backendRefs: []", "NoBackends: the rule has no backendRefs"],
    ["name: empty", "NoBackends: the rule has no backendRefs"],
    [
      "backendRefs: [{name: web, port: 80, weight: 0}, {name: web, port: 80, weight: 0}]",
      "NoBackends: every backendRef has weight 0",
    ],
    ["backendRefs: [{name: web, port: 80, weight: 0}, {name: web, port: 80}]", "forward"],
    ["filters: [{type: DirectResponse, directResponse: {statusCode: 200}}]", "respond"],
    ["filters: [{type: RequestRedirect, requestRedirect: {port: 81}}]", "redirect"],
  ])("%s: %s", ([rule, action]) => expect(actionOf(translated(`rules: [{${rule}}]`).rules)).toBe(action));

  test("it is named by its name or its place, and a backendRef is told as it was written", () => {
    const { rules, status } = translated(
      `rules: [{name: own, ${WEB}}, {matches: [{path: {value: /b}}], backendRefs: [{kind: Service, name: web, namespace: default, port: 80, weight: 2}]}]`,
    );
    expect(rules.map(({ name, index, route }) => [name, index, route])).toEqual([
      ["own", 0, KEY],
      ["rules[1]", 1, KEY],
    ]);
    expect(
      status.rules.map(({ backends }) =>
        backends?.map(({ kind, name, namespace, port, weight }) => [kind, name, namespace, port, weight]),
      ),
    ).toEqual([[[undefined, "web", undefined, 80, 1]], [["Service", "web", "default", 80, 2]]]);
  });

  test("a rule without matches takes everything, one with an empty list too", () => {
    for (const matches of ["", "matches: [], ", "matches: [{}], "]) {
      const { rig } = translated(`rules: [{${matches}${WEB}}]`);
      expect(rig.translator.table.routes.get(KEY)?.entries.map(({ match }) => match)).toEqual([
        { path: { kind: "prefix", value: "" }, headers: [], cookies: [], queryParams: [] },
      ]);
    }
  });

  test("paths are matched in the one form that requests have", () => {
    const path = (type: string, value: string): unknown =>
      translated(
        `rules: [{matches: [{path: {type: ${type}, value: "${value}"}}], ${WEB}}]`,
      ).rig.translator.table.routes.get(KEY)?.entries[0]?.match.path;
    expect(path("Exact", "/caf%c3%a9")).toEqual({ kind: "exact", value: "/caf%C3%A9" });
    expect(path("PathPrefix", "/%7euser")).toEqual({ kind: "prefix", value: "/~user" });
    expect(path("PathPrefix", "/a/")).toEqual({ kind: "prefix", value: "/a" });
    expect(path("Exact", "/a/")).toEqual({ kind: "exact", value: "/a/" });
  });
});

describe("backends", () => {
  const service = (name: string, spec: string): string =>
    `---\napiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {${spec}}\n`;
  const SERVICES =
    service("external", "type: ExternalName, externalName: a.test, ports: [{port: 80}]") +
    service("udp", "ports: [{port: 53, protocol: UDP}, {port: 54, protocol: TCP}]") +
    service(
      "speaking",
      "ports: [{name: a, port: 1, appProtocol: kubernetes.io/h2c}, {name: b, port: 2, appProtocol: grpc}, {name: c, port: 3, appProtocol: kubernetes.io/ws}, {name: d, port: 4, appProtocol: kubernetes.io/wss}, {name: e, port: 5, appProtocol: https}, {name: f, port: 6, appProtocol: HTTP}, {name: g, port: 7, appProtocol: mysql}, {name: h, port: 8}]",
    );
  const resolved = (ref: string, matches = ""): string => {
    const { status, rules } = translated(`rules: [{${matches}backendRefs: [${ref}]}]`, SERVICES);
    const action = rules[0]?.action;
    const target = action?.kind === "forward" ? action.backends[0]?.target : undefined;
    return target?.kind === "cluster"
      ? `HTTP/${target.http}${target.tls === undefined ? "" : " TLS"} ${target.endpoints} ${target.state}`
      : `${brief(status, "ResolvedRefs")} ${message(status, "ResolvedRefs")}`;
  };
  const at = (reason: string, text: string): string => `False/${reason} rules[0].backendRefs[0]: ${text}`;

  test.for<[string, string]>([
    ["{name: web, port: 80}", "HTTP/1.1 default/web:80 default/web:80"],
    ["{name: web, port: 80, group: '', kind: Service, namespace: default}", "HTTP/1.1 default/web:80 default/web:80"],
    ["{name: web, port: 81}", at("BackendNotFound", "Service default/web has no port 81")],
    ["{name: gone, port: 80}", at("BackendNotFound", "Service default/gone does not exist")],
    [
      "{name: external, port: 80}",
      at("BackendNotFound", "Service default/external is of type ExternalName, which is not allowed here"),
    ],
    ["{name: udp, port: 53}", at("UnsupportedProtocol", "port 53 of Service default/udp is UDP, not TCP")],
    ["{name: udp, port: 54}", "HTTP/1.1 default/udp:54 default/udp:54"],
    ["{name: web, port: 80, kind: Bucket}", at("InvalidKind", "Bucket is not a supported backend; use a Service")],
    [
      "{name: web, port: 80, group: x.test, kind: Service}",
      at("InvalidKind", "x.test/Service is not a supported backend; use a Service"),
    ],
    ["{name: speaking, port: 1}", "HTTP/2 default/speaking:1 default/speaking:1#h2"],
    ["{name: speaking, port: 2}", "HTTP/2 default/speaking:2 default/speaking:2#h2"],
    ["{name: speaking, port: 3}", "HTTP/1.1 default/speaking:3 default/speaking:3"],
    ["{name: speaking, port: 4}", "HTTP/1.1 TLS default/speaking:4 default/speaking:4#tls"],
    ["{name: speaking, port: 5}", "HTTP/1.1 TLS default/speaking:5 default/speaking:5#tls"],
    ["{name: speaking, port: 6}", "HTTP/1.1 default/speaking:6 default/speaking:6"],
    ["{name: speaking, port: 7}", "HTTP/1.1 default/speaking:7 default/speaking:7"],
    ["{name: speaking, port: 8}", "HTTP/1.1 default/speaking:8 default/speaking:8"],
  ])("%s", ([ref, expected]) => expect(resolved(ref)).toBe(expected));

  test("of a rule with gRPC matches alone speak HTTP/2 unless they say otherwise", () => {
    const grpc = "{grpc: {service: a.B}}";
    expect(resolved("{name: speaking, port: 8}", `matches: [${grpc}], `)).toContain("HTTP/2 default");
    expect(resolved("{name: speaking, port: 5}", `matches: [${grpc}], `)).toContain("HTTP/2 TLS");
    expect(resolved("{name: speaking, port: 8}", `matches: [${grpc}, {path: {value: /}}], `)).toContain("HTTP/1.1");
    expect(resolved("{name: speaking, port: 6}", `matches: [${grpc}], `)).toContain("HTTP/1.1");
  });

  test("are shared between rules of equal policy, and never with another policy's", () => {
    const rules = `rules: [{${WEB}}, {matches: [{path: {value: /b}}], ${WEB}}, {matches: [{path: {value: /c}}], loadBalancing: {algorithm: Random}, ${WEB}}]`;
    const targets = translated(rules).rules.map(({ action }) =>
      action.kind === "forward" ? action.backends[0]?.target : undefined,
    );
    expect(targets[0]).toBe(targets[1]);
    expect(targets[2]).not.toBe(targets[0]);
    expect(targets.map((target) => (target?.kind === "cluster" ? target.state.split("#")[0] : ""))).toEqual([
      "default/web:80",
      "default/web:80",
      "default/web:80",
    ]);
    expect(targets[2]).toMatchObject({ endpoints: "default/web:80", algorithm: "Random" });
    expect((targets[2] as { state: string }).state).not.toBe((targets[0] as { state: string }).state);
  });
});

describe("two matches are for the same requests only when all their conditions are equal", () => {
  const shadowed = (first: string, second: string): boolean =>
    translated(`rules: [{matches: [${first}], ${WEB}}, {matches: [${second}], ${WEB}}]`).status.conditions.some(
      ({ type }) => type === "Shadowed",
    );
  const base = {
    path: "path: {value: /a}",
    method: "method: GET",
    headers: "headers: [{name: a, value: '1'}, {name: b, value: x, type: RegularExpression}]",
    cookies: "cookies: [{name: a, value: '1'}]",
    queryParams: "queryParams: [{name: a, value: '1'}]",
  };
  const match = (change: Partial<typeof base> = {}): string =>
    `{${Object.values({ ...base, ...change })
      .filter((part) => part !== "")
      .join(", ")}}`;

  test("in any order, names of headers in any case", () => {
    expect(shadowed(match(), match())).toBe(true);
    expect(
      shadowed(
        match(),
        match({ headers: "headers: [{name: B, value: x, type: RegularExpression}, {name: A, value: '1'}]" }),
      ),
    ).toBe(true);
  });
  test.for<Partial<typeof base>>([
    { path: "path: {value: /b}" },
    { path: "path: {type: Exact, value: /a}" },
    { path: "path: {type: RegularExpression, value: /a}" },
    { method: "method: PUT" },
    { headers: "headers: [{name: a, value: '2'}, {name: b, value: x, type: RegularExpression}]" },
    { headers: "headers: [{name: c, value: '1'}, {name: b, value: x, type: RegularExpression}]" },
    { headers: "headers: [{name: a, value: '1'}, {name: b, value: y, type: RegularExpression}]" },
    {
      headers:
        "headers: [{name: a, value: '1', type: RegularExpression}, {name: b, value: x, type: RegularExpression}]",
    },
    { headers: "headers: [{name: a, value: '1'}, {name: b, value: x}]" },
    { cookies: "cookies: [{name: a, value: '2'}]" },
    { cookies: "cookies: [{name: A, value: '1'}]" },
    { queryParams: "queryParams: [{name: b, value: '1'}]" },
    { queryParams: "queryParams: [{name: a, value: '2'}]" },
  ])("not with %j", (change) => expect(shadowed(match(), match(change))).toBe(false));
  test("nor with one condition more or less", () => {
    for (const part of ["method", "headers", "cookies", "queryParams"] as const) {
      expect(shadowed(match(), match({ [part]: "" }))).toBe(false);
      expect(shadowed(match({ [part]: "" }), match())).toBe(false);
    }
  });
  test("patterns are equal when their text is", () => {
    const pattern = (value: string): string => match({ path: `path: {type: RegularExpression, value: ${value}}` });
    expect([shadowed(pattern("/a"), pattern("/a")), shadowed(pattern("/a"), pattern("/b"))]).toEqual([true, false]);
  });
});

describe("a listener's digest", () => {
  const gateway = (listeners: string, spec = "", metadata = ""): string =>
    `---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw${metadata}}\nspec: {gatewayClassName: serviceroute, listeners: [${listeners}]${spec}}\n`;
  const digest = (yaml: string, options = {}, name = "http"): string => {
    const rig = pipeline(options);
    rig.apply(yaml);
    return rig.translator.table.listeners.get(`default/gw/${name}` as ListenerId)?.digest ?? "";
  };
  const HTTP = "{name: http, port: 81, protocol: HTTP}";
  const plain = digest(gateway(HTTP));

  test("is short, the same on every replica, and not of the address that each is told to bind", () => {
    expect(plain).toMatch(/^[A-Za-z0-9_-]{8}$/);
    expect(digest(gateway(HTTP))).toBe(plain);
    expect(digest(gateway(HTTP), { bindAddress: "198.51.100.7" })).toBe(plain);
  });
  test.for<[string, string, object]>([
    ["port", gateway("{name: http, port: 82, protocol: HTTP}"), {}],
    ["hostname", gateway("{name: http, port: 81, protocol: HTTP, hostname: a.test}"), {}],
    [
      "allowed namespaces",
      gateway("{name: http, port: 81, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}"),
      {},
    ],
    ["default scope", gateway(HTTP, ", defaultScope: All"), {}],
    ["own address", gateway(HTTP), { addressPool: "192.0.2.0/28" }],
  ])("differs with its %s", ([, yaml, options]) => expect(digest(yaml, options)).not.toBe(plain));

  test("an equal listener is the same object; one that changed is another", () => {
    const rig = pipeline();
    rig.apply(gateway(HTTP));
    const id = "default/gw/http" as ListenerId;
    const first = rig.translator.table.listeners.get(id);
    rig.apply(gateway(`${HTTP}, {name: more, port: 82, protocol: HTTP}`));
    expect(rig.translator.table.listeners.get(id)).toBe(first);
    rig.apply(gateway("{name: http, port: 83, protocol: HTTP}"));
    expect(rig.translator.table.listeners.get(id)?.port).toBe(83);
    expect([...rig.translator.table.sockets()].sort()).toEqual(["127.0.0.1:8080", "127.0.0.1:83"]);
    expect(rig.translator.table.listenersOn("127.0.0.1:83").map((one) => one.name)).toEqual(["http"]);
    expect(rig.translator.table.listenersOn("127.0.0.1:81")).toEqual([]);
  });
});
