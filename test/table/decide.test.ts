import { PatternBudget } from "../../src/routing/pattern-budget.ts";
import { describe, expect, test } from "vitest";
import { decide } from "../../src/routing/decide.ts";
import { explain, type ExplainRequest } from "../../src/routing/explain.ts";
import { bySpecificity } from "../../src/routing/hostname.ts";
import { PrivateKey } from "../../src/routing/listener.ts";
import { type Pipeline, pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

const WEB = "backendRefs: [{name: web, port: 80}]";
const gateway = (name: string, listeners: string): string =>
  `---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: ${name}}\nspec: {gatewayClassName: serviceroute, listeners: [${listeners}]}\n`;
const listener = (name: string, hostname: string): string =>
  `{name: ${name}, port: 81, protocol: HTTP${hostname === "" ? "" : `, hostname: "${hostname}"`}}`;

interface Asked {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
}
const view = ({ method = "GET", path = "/", headers = {} }: Asked = {}) => ({
  method,
  path,
  header: (name: string) => headers[name],
  cookie: () => undefined,
  patterns: new PatternBudget(),
  query: () => undefined,
});

describe("which listener, hostname and rule serve a request", () => {
  const rig = pipeline();
  rig.apply(
    serviceYaml("web") +
      gateway("gw", [listener("any", ""), listener("wide", "*.b.test"), listener("exact", "a.b.test")].join(", ")) +
      routeYaml("any", `parentRefs: [{name: gw, sectionName: any}]\nrules: [{matches: [{method: GET}], ${WEB}}]`) +
      routeYaml(
        "exact",
        `parentRefs: [{name: gw, sectionName: exact}]\nrules: [{matches: [{path: {value: /a}}], ${WEB}}]`,
      ),
  );
  const asked = (host: string, serverName = "", path = "/"): unknown[] => {
    const decision = decide(rig.translator.table, "127.0.0.1:81", serverName, host, view({ path }));
    const { kind, listener: found } = decision;
    const hostname = "hostname" in decision ? decision.hostname : undefined;
    return [kind, found?.name, hostname, kind === "route" ? decision.entry.rule.route : undefined];
  };

  test.for<[string, unknown[]]>([
    ["x.test", ["route", "any", "*", "ServiceRoute/default/any"]],
    ["", ["route", "any", "*", "ServiceRoute/default/any"]],
    ["c.b.test", ["noRoute", "wide", undefined, undefined]],
    ["a.b.test", ["noRoute", "exact", "a.b.test", undefined]],
  ])("without a handshake: %j", ([host, expected]) => expect(asked(host)).toEqual(expected));

  test("the path decides last", () => {
    expect(asked("a.b.test", "", "/a")).toEqual(["route", "exact", "a.b.test", "ServiceRoute/default/exact"]);
  });

  test("a Host of another listener than the handshake's is misdirected, one of the same is not", () => {
    expect(asked("x.test", "a.b.test")).toEqual(["misdirected", "exact", undefined, undefined]);
    expect(asked("a.b.test", "x.test")).toEqual(["misdirected", "any", undefined, undefined]);
    expect(asked("a.b.test", "a.b.test", "/a")[0]).toBe("route");
    expect(asked("c.b.test", "d.b.test")).toEqual(["noRoute", "wide", undefined, undefined]);
  });

  test("a socket that nobody listens on, and a listener that does not take the host", () => {
    expect(decide(rig.translator.table, "127.0.0.1:99", "", "x.test", view())).toEqual({ kind: "noRoute" });
    const only = pipeline();
    only.apply(gateway("gw", listener("exact", "a.b.test")));
    expect(decide(only.translator.table, "127.0.0.1:81", "", "x.test", view())).toEqual({ kind: "noRoute" });
    expect(decide(only.translator.table, "127.0.0.1:81", "a.b.test", "x.test", view()).kind).toBe("misdirected");
    expect(decide(only.translator.table, "127.0.0.1:81", "x.test", "x.test", view())).toEqual({ kind: "noRoute" });
    expect(decide(only.translator.table, "127.0.0.1:81", "gone.test", "a.b.test", view())).toEqual({
      kind: "misdirected",
    });
  });

  test("specificity is a total order: precise before wild, longer before shorter, then by text", () => {
    const names = ["*", "*.test", "*.b.test", "b.test", "a.b.test", "c.b.test"];
    expect(names.toSorted(bySpecificity)).toEqual(["a.b.test", "c.b.test", "b.test", "*.b.test", "*.test", "*"]);
    expect(names.toReversed().sort(bySpecificity)).toEqual([
      "a.b.test",
      "c.b.test",
      "b.test",
      "*.b.test",
      "*.test",
      "*",
    ]);
    expect(bySpecificity("a.test", "a.test")).toBe(0);
    expect(bySpecificity("b.test", "a.test")).toBeGreaterThan(0);
  });
});

describe("explain", () => {
  const request = (host: string, asked: Asked = {}, more: Partial<ExplainRequest> = {}): ExplainRequest => ({
    ...view(asked),
    host,
    scheme: "http",
    ...more,
  });
  const rigOf = (...routes: string[]): Pipeline => {
    const rig = pipeline();
    rig.apply(serviceYaml("web", [9001, 9002]) + serviceYaml("none", []) + routes.join(""));
    return rig;
  };
  const of = (rig: Pipeline, ...args: Parameters<typeof request>) => explain(rig.translator.table, request(...args));

  test("where no listener, no hostname and no rule take the request", () => {
    const rig = rigOf(routeYaml("r", `hostnames: [a.test]\nrules: [{matches: [{path: {value: /a}}], ${WEB}}]`));
    expect(of(rig, "a.test", {}, { scheme: "https" })).toEqual({
      otherListeners: [],
      losers: [],
      answer: "404 NoRoute: no listener takes this scheme, port and host",
    });
    for (const more of [{ port: 99 }, { gateway: "default/gw" }])
      expect(of(rig, "a.test", {}, more).answer).toBe("404 NoRoute: no listener takes this scheme, port and host");
    expect(of(rig, "b.test")).toEqual({
      listener: "/builtin/http",
      otherListeners: [],
      losers: [],
      answer: "404 NoRoute: no route has this hostname",
    });
    expect(of(rig, "a.test", {}, { port: 8080, gateway: "/builtin" })).toEqual({
      listener: "/builtin/http",
      otherListeners: [],
      hostname: "a.test",
      losers: [
        { route: "ServiceRoute/default/r", rule: "rules[0]", match: "PathPrefix /a", why: "path does not match" },
      ],
      answer: "404 NoRoute: no rule of the hostname matches; less specific hostnames are not asked",
    });
  });

  test("who wins, and on what each of the others lost", () => {
    const rig = rigOf(
      routeYaml(
        "r",
        `hostnames: [a.test]\nrules: [{name: exact, matches: [{path: {type: Exact, value: /a}}], ${WEB}}, {name: header, matches: [{path: {value: /a}, headers: [{name: x, value: y}]}], ${WEB}}, {name: post, matches: [{method: POST}], ${WEB}}, {name: all, ${WEB}}]`,
      ),
      routeYaml("wide", `hostnames: ["*.test"]\nrules: [{${WEB}}]`),
    );
    const { winner, losers, hostname } = of(rig, "a.test", { path: "/a" });
    expect([winner?.rule, winner?.match, winner?.why, winner?.action, hostname]).toEqual([
      "exact",
      "Exact /a",
      "first in precedence of all that match",
      "forward",
      "a.test",
    ]);
    expect(losers.map(({ rule, match, why }) => [rule, match, why])).toEqual([
      ["header", "PathPrefix /a, header x = y", "header x does not match"],
      ["post", "PathPrefix /, method POST", "method POST does not match"],
      ["all", "PathPrefix /", "matches, but loses on path"],
      ["rules[0]", "PathPrefix /", "hostname *.test is less specific than a.test"],
    ]);
  });

  test("cookies and query parameters that do not match are named", () => {
    const rig = rigOf(
      routeYaml(
        "r",
        `rules: [{matches: [{cookies: [{name: c, value: v}]}], ${WEB}}, {matches: [{queryParams: [{name: q, value: v}]}], ${WEB}}]`,
      ),
    );
    expect(of(rig, "a.test").losers.map(({ why }) => why)).toEqual([
      "cookie c does not match",
      "query parameter q does not match",
    ]);
  });

  test("a request of HTTPS is taken by a listener of HTTPS alone", () => {
    const certificate = { secret: "s", chain: "c", key: new PrivateKey("k"), names: [], validFrom: 0, validTo: 1 };
    const rig = pipeline({ builtin: { httpPort: 8080, httpsPort: 8443, certificate } });
    rig.apply(serviceYaml("web") + routeYaml("r", `rules: [{${WEB}}]`));
    const asked = (scheme: "http" | "https") => {
      const { listener: id, otherListeners } = of(rig, "a.test", {}, { scheme });
      return [id, otherListeners];
    };
    expect([asked("http"), asked("https")]).toEqual([
      ["/builtin/http", []],
      ["/builtin/https", []],
    ]);
  });

  test("endpoints that end are counted apart", () => {
    const rig = rigOf(routeYaml("r", `rules: [{${WEB}}]`));
    rig.apply(
      "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-0, labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nports: [{port: 9001}]\nendpoints: [{addresses: [127.0.0.1], conditions: {ready: false, serving: true, terminating: true}}]\n",
    );
    expect(of(rig, "a.test").winner?.backends[0]?.endpoints).toMatchObject({ ready: 1, draining: 1, total: 2 });
  });

  test("an endpoint of IPv6 is written as it is dialled", () => {
    const rig = rigOf(routeYaml("r", `rules: [{backendRefs: [{name: six, port: 80}]}]`));
    const slice =
      "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: six-1, labels: {kubernetes.io/service-name: six}}\naddressType: IPv6\nports: [{port: 9001}]\nendpoints: [{addresses: ['2001:db8::1']}]\n";
    rig.apply(serviceYaml("six", []) + slice);
    expect(of(rig, "a.test").winner?.backends[0]?.endpoints?.addresses).toEqual(["[2001:db8::1]:9001"]);
  });

  test("matches in words", () => {
    const match =
      "{path: {type: RegularExpression, value: '/a.*'}, method: PUT, headers: [{name: X-H, value: v}, {name: r, value: 'v.*', type: RegularExpression}], cookies: [{name: c, value: v}], queryParams: [{name: q, value: v}]}";
    const rig = rigOf(routeYaml("r", `rules: [{matches: [${match}], ${WEB}}]`));
    expect(of(rig, "a.test").losers[0]?.match).toBe(
      "RegularExpression /a.*, method PUT, header x-h = v, header r ~ v.*, cookie c = v, query q = v",
    );
  });

  test("backends with shares, endpoints and problems", () => {
    const refs =
      "backendRefs: [{name: web, port: 80, weight: 3}, {name: none, port: 80}, {name: gone, port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x]}}]}]";
    const rig = rigOf(routeYaml("r", `rules: [{whenNoEndpoints: Redistribute, ${refs}}]`));
    const { winner } = of(rig, "a.test");
    expect(winner?.action).toBe("forward; shares of backends without endpoints go to the others");
    expect(winner?.backends).toEqual([
      {
        name: "default/web:80",
        weight: 3,
        sharePercent: 75,
        filters: [],
        endpoints: { ready: 2, draining: 0, total: 2, addresses: ["127.0.0.1:9001", "127.0.0.1:9002"] },
      },
      {
        name: "default/none:80",
        weight: 1,
        sharePercent: 0,
        filters: [],
        endpoints: { ready: 0, draining: 0, total: 0, addresses: [] },
      },
      {
        name: "gone",
        weight: 1,
        sharePercent: 25,
        filters: ["request headers: remove x"],
        problem: "BackendNotFound: Service default/gone does not exist",
      },
    ]);
  });

  test.for<[string, string, readonly string[]]>([
    [
      "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: '1'}], add: [{name: b, value: '2'}], remove: [c]}}, {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [d, e]}}]",
      "forward",
      ["request headers: set a=1, add b=2, remove c", "response headers: remove d, remove e"],
    ],
    [
      "filters: [{type: CORS, cors: {allowOrigins: ['https://a.test', 'https://b.test']}}, {type: URLRewrite, urlRewrite: {hostname: in.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /n}}}]",
      "forward",
      ["CORS: origins https://a.test, https://b.test", "rewrite host to in.test", "rewrite path (prefix) to /n"],
    ],
    [
      "filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceRegexMatch, replaceRegexMatch: {pattern: '^/a', substitution: /b}}}}, {type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}, percent: 25}}, {type: RequestMirror, requestMirror: {backendRef: {name: gone, port: 80}}}]",
      "forward",
      ["rewrite path ^/a to /b", "mirror 25 % to default/web:80", "mirror 100 % to an invalid backend"],
    ],
  ])("filters in words: %s", ([filters, action, expected]) => {
    const { winner } = of(rigOf(routeYaml("r", `rules: [{${filters}, ${WEB}}]`)), "a.test");
    expect([winner?.action, winner?.filters]).toEqual([action, expected]);
  });

  test.for<[string, string]>([
    ["filters: [{type: RequestRedirect, requestRedirect: {hostname: b.test, statusCode: 301}}]", "redirect 301"],
    ["filters: [{type: DirectResponse, directResponse: {statusCode: 418}}]", "respond 418"],
    ["backendRefs: []", "500 NoBackends: the rule has no backendRefs"],
    [
      `authentication: {type: None}, timeouts: {request: 1s}, healthCheck: {active: {type: TCP}}, ${WEB}`,
      "500 InvalidRule: rules[0].",
    ],
  ])("what is answered here: %s", ([rule, action]) => {
    expect(of(rigOf(routeYaml("r", `rules: [{${rule}}]`)), "a.test").winner?.action).toContain(action);
  });

  test("a preflight is one only with both of its headers, and only where CORS is asked for", () => {
    const rig = rigOf(routeYaml("r", `rules: [{filters: [{type: CORS, cors: {}}], ${WEB}}]`));
    const headers = { origin: "https://a.test", "access-control-request-method": "PUT" };
    const action = (rigged: Pipeline, asked: Asked): string | undefined => of(rigged, "a.test", asked).winner?.action;
    expect(action(rig, { method: "OPTIONS", headers })).toBe("respond 204: a CORS preflight is answered here");
    expect(action(rig, { method: "OPTIONS", headers: { origin: "https://a.test" } })).toBe("forward");
    expect(action(rig, { method: "OPTIONS", headers: { "access-control-request-method": "PUT" } })).toBe("forward");
    expect(action(rig, { method: "GET", headers })).toBe("forward");
    expect(action(rigOf(routeYaml("r", `rules: [{${WEB}}]`)), { method: "OPTIONS", headers })).toBe("forward");
  });

  test("each socket that takes the request, the one with a rule for it first, then the one with its hostname", () => {
    const rig = pipeline({ ownAddresses: true });
    rig.apply(
      serviceYaml("web") +
        gateway("a", listener("http", "")) +
        gateway("b", listener("http", "")) +
        routeYaml(
          "host",
          `parentRefs: [{name: a}]\nhostnames: [a.test]\nrules: [{matches: [{path: {value: /a}}], ${WEB}}]`,
        ) +
        routeYaml(
          "rule",
          `parentRefs: [{name: b}]\nhostnames: [a.test]\nrules: [{matches: [{path: {value: /b}}], ${WEB}}]`,
        ),
    );
    const found = (path: string, more: Partial<ExplainRequest> = {}): unknown[] => {
      const { listener: id, otherListeners } = of(rig, "a.test", { path }, more);
      return [id, otherListeners];
    };
    expect(found("/b")).toEqual(["default/b/http", ["/builtin/http", "default/a/http"]]);
    expect(found("/none")).toEqual(["default/a/http", ["/builtin/http", "default/b/http"]]);
    expect(found("/b", { gateway: "default/a" })).toEqual(["default/a/http", []]);
    expect(found("/b", { port: 8080 })).toEqual(["/builtin/http", []]);
  });
});

test("S25: a private key shows its bytes only when it is asked for them", () => {
  const key = new PrivateKey("secret");
  expect([key.reveal(), String(key), JSON.stringify({ key })]).toEqual([
    "secret",
    "[redacted]",
    '{"key":"[redacted]"}',
  ]);
  expect([key.equals(new PrivateKey("secret")), key.equals(new PrivateKey("other"))]).toEqual([true, false]);
});
