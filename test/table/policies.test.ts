import { describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import type { RouteRule } from "../../src/routing/rule.ts";
import { pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

const WEB = "backendRefs: [{name: web, port: 80}]";
function ruleOf(spec: string): RouteRule {
  const rig = pipeline();
  rig.apply(serviceYaml("web") + serviceYaml("other") + routeYaml("r", spec));
  const entry = rig.translator.table.routes.get(keyOf("ServiceRoute", "default", "r"))?.entries[0];
  if (entry === undefined) throw new Error("the route is not in the table");
  return entry.rule;
}
const rule = (text: string): RouteRule => ruleOf(`rules: [{${text}, ${WEB}}]`);
const filters = (...list: string[]): RouteRule["filters"] => rule(`filters: [${list.join(",")}]`).filters;
const stateOf = (text: string): unknown => {
  const { action } = rule(text);
  return action.kind === "forward"
    ? action.backends.map(({ target }) => target.kind === "cluster" && [target.state, target.algorithm])
    : action;
};

describe("filters, as they come into the table", () => {
  test("none is what every such rule shares", () => {
    expect(rule("timeouts: {request: 1s}").filters).toBe(rule("timeouts: {request: 2s}").filters);
    expect(filters()).toEqual({ mirrors: [] });
  });

  test("header changes: names in lower case, the first of equal names", () => {
    const change =
      "{set: [{name: X-A, value: '1'}], add: [{name: x-b, value: '2'}, {name: X-B, value: '3'}], remove: [X-C]}";
    const expected = { set: [["x-a", "1"]], add: [["x-b", "2"]], remove: ["x-c"] };
    expect(filters(`{type: RequestHeaderModifier, requestHeaderModifier: ${change}}`)).toEqual({
      mirrors: [],
      requestHeaders: expected,
    });
    expect(filters(`{type: ResponseHeaderModifier, responseHeaderModifier: ${change}}`)).toEqual({
      mirrors: [],
      responseHeaders: expected,
    });
  });

  test.for<[string, string, object]>([
    ["a whole path", "path: {type: ReplaceFullPath, replaceFullPath: /x}", { path: { kind: "full", value: "/x" } }],
    [
      "no path, which is the root",
      'path: {type: ReplaceFullPath, replaceFullPath: ""}',
      { path: { kind: "full", value: "/" } },
    ],
    [
      "a path without its slash",
      "path: {type: ReplaceFullPath, replaceFullPath: x}",
      { path: { kind: "full", value: "/x" } },
    ],
    [
      "a path without its first slash, but with a last",
      "path: {type: ReplaceFullPath, replaceFullPath: x/}",
      { path: { kind: "full", value: "/x/" } },
    ],
    ["a prefix", "path: {type: ReplacePrefixMatch, replacePrefixMatch: /x}", { path: { kind: "prefix", value: "/x" } }],
    ["no prefix", 'path: {type: ReplacePrefixMatch, replacePrefixMatch: ""}', { path: { kind: "prefix", value: "" } }],
    [
      "a prefix without its slash",
      "path: {type: ReplacePrefixMatch, replacePrefixMatch: x}",
      { path: { kind: "prefix", value: "/x" } },
    ],
    ["a host", "hostname: inner.test", { hostname: "inner.test" }],
    ["nothing", "", {}],
  ])("a rewrite of %s", ([, text, expected]) => {
    expect(filters(`{type: URLRewrite, urlRewrite: {${text}}}`).rewrite).toEqual(expected);
  });

  test("a rewrite by a pattern", () => {
    const { rewrite } = filters(
      '{type: URLRewrite, urlRewrite: {path: {type: ReplaceRegexMatch, replaceRegexMatch: {pattern: "^/v([0-9])/", substitution: "/\\\\1/"}}}}',
    );
    const change = rewrite?.path;
    expect(change?.kind === "regex" && [change.regex.source, change.substitution]).toEqual(["^/v([0-9])/", "/\\1/"]);
  });

  test("a redirect has what was written, and 302", () => {
    const redirect = (text: string): unknown =>
      ruleOf(`rules: [{filters: [{type: RequestRedirect, requestRedirect: {${text}}}]}]`).action;
    expect(redirect("port: 81")).toEqual({ kind: "redirect", redirect: { port: 81, statusCode: 302 } });
    expect(redirect("scheme: https")).toEqual({ kind: "redirect", redirect: { scheme: "https", statusCode: 302 } });
    expect(redirect("hostname: x.test")).toMatchObject({ redirect: { hostname: "x.test" } });
    expect(redirect("path: {type: ReplacePrefixMatch, replacePrefixMatch: /x}")).toMatchObject({ kind: "redirect" });
    expect(
      redirect(
        "scheme: https, hostname: x.test, port: 8443, statusCode: 301, path: {type: ReplaceFullPath, replaceFullPath: /x}",
      ),
    ).toEqual({
      kind: "redirect",
      redirect: {
        scheme: "https",
        hostname: "x.test",
        port: 8443,
        statusCode: 301,
        path: { kind: "full", value: "/x" },
      },
    });
  });

  test("CORS has the defaults of Gateway API", () => {
    expect(filters("{type: CORS, cors: {}}").cors).toEqual({
      allowOrigins: [],
      allowCredentials: false,
      allowMethods: [],
      allowHeaders: [],
      exposeHeaders: [],
      maxAge: 5,
    });
    const all =
      'allowOrigins: ["https://A.test"], allowCredentials: true, allowMethods: [PUT], allowHeaders: [x-a], exposeHeaders: [x-b], maxAge: 60';
    expect(filters(`{type: CORS, cors: {${all}}}`).cors).toEqual({
      allowOrigins: ["https://a.test"],
      allowCredentials: true,
      allowMethods: ["PUT"],
      allowHeaders: ["x-a"],
      exposeHeaders: ["x-b"],
      maxAge: 60,
    });
  });

  test.for<[string, number]>([
    ["", 1],
    [", percent: 5", 0.05],
    [", percent: 0", 0],
    [", fraction: {numerator: 1, denominator: 4}", 0.25],
    [", fraction: {numerator: 3}", 0.03],
  ])("a mirror%s copies a share of %s", ([text, share]) => {
    const { mirrors } = filters(`{type: RequestMirror, requestMirror: {backendRef: {name: other, port: 80}${text}}}`);
    expect(
      mirrors.map((mirror) => [mirror.backend.kind === "cluster" && mirror.backend.endpoints, mirror.share]),
    ).toEqual([["default/other:80", share]]);
  });

  test("several mirrors are kept in order", () => {
    const mirror = (name: string): string =>
      `{type: RequestMirror, requestMirror: {backendRef: {name: ${name}, port: 80}}}`;
    const named = filters(mirror("other"), mirror("web")).mirrors.map(
      ({ backend }) => backend.kind === "cluster" && backend.endpoints,
    );
    expect(named).toEqual(["default/other:80", "default/web:80"]);
  });

  test("a direct response has a type of content when it has content", () => {
    const said = (text: string): unknown =>
      ruleOf(`rules: [{filters: [{type: DirectResponse, directResponse: {${text}}}]}]`).action;
    expect(said("statusCode: 204")).toEqual({ kind: "respond", statusCode: 204, body: "", contentType: "" });
    expect(said("statusCode: 200, body: pong")).toMatchObject({
      body: "pong",
      contentType: "text/plain; charset=utf-8",
    });
    expect(said("statusCode: 200, body: '{}', contentType: application/json")).toMatchObject({
      contentType: "application/json",
    });
  });
});

describe("defaults", () => {
  const set = (value: string): string =>
    `{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: ${value}}]}}`;
  const REDIRECT = "{type: RequestRedirect, requestRedirect: {port: 81}}";
  const REWRITE = "{type: URLRewrite, urlRewrite: {hostname: inner.test}}";
  const merged = (defaults: string, own: string): RouteRule => ruleOf(`defaults: {${defaults}}\nrules: [{${own}}]`);

  test("a field of the rule replaces the default's whole", () => {
    expect(
      merged("timeouts: {request: 9s, backendRequest: 3s}", `timeouts: {request: 5s}, ${WEB}`).policy,
    ).toMatchObject({
      requestTimeoutMs: 5000,
      backendTimeoutMs: 0,
    });
    expect(merged("timeouts: {request: 9s}", WEB).policy.requestTimeoutMs).toBe(9000);
  });

  test("filters merge by slot: redirect, rewrite and direct response are one", () => {
    expect(
      merged(`filters: [${set("default")}, ${REWRITE}]`, `filters: [${set("own")}], ${WEB}`).filters,
    ).toMatchObject({
      requestHeaders: { set: [["a", "own"]] },
      rewrite: { hostname: "inner.test" },
    });
    const redirected = merged(`filters: [${REWRITE}, ${set("default")}]`, `filters: [${REDIRECT}]`);
    expect([redirected.action.kind, redirected.filters.rewrite, redirected.filters.requestHeaders?.set]).toEqual([
      "redirect",
      undefined,
      [["a", "default"]],
    ]);
  });
});

describe("policies, as they come into the table", () => {
  const DEFAULT = {
    requestTimeoutMs: 0,
    backendTimeoutMs: 0,
    idleTimeoutMs: 300_000,
    connectTimeoutMs: 5000,
    maxRequestBody: 0,
  };

  const RETRY = {
    attempts: 1,
    codes: [],
    backoffMs: 25,
    connectFailureOnly: false,
    budgetPercent: 20,
    budgetMinConcurrent: 3,
  };

  test("without any, all rules share the defaults", () => {
    expect(rule("filters: []").policy).toBe(rule("name: x").policy);
    expect(rule("name: x").policy).toMatchObject(DEFAULT);
    expect(rule("name: x").policy.retry).toMatchObject({ attempts: 1, codes: [], connectFailureOnly: true });
  });

  test.for<[string, object]>([
    ["timeouts: {request: 10s}", { ...DEFAULT, requestTimeoutMs: 10_000 }],
    ["timeouts: {backendRequest: 1m30s}", { ...DEFAULT, backendTimeoutMs: 90_000 }],
    ["timeouts: {idle: 0s}", { ...DEFAULT, idleTimeoutMs: 0 }],
    ["timeouts: {connect: 200ms}", { ...DEFAULT, connectTimeoutMs: 200 }],
    ["timeouts: {connect: 0s}", DEFAULT],
    ["maxRequestBody: 1Ki", { ...DEFAULT, maxRequestBody: 1024 }],
    ["maxRequestBody: 10M", { ...DEFAULT, maxRequestBody: 10_000_000 }],
    ["retry: {}", { ...DEFAULT, retry: RETRY }],
    [
      "retry: {attempts: 0, codes: [503], backoff: 1s, budget: {percent: 50}}",
      { ...DEFAULT, retry: { ...RETRY, attempts: 0, codes: [503], backoffMs: 1000, budgetPercent: 50 } },
    ],
    ["retry: {budget: {minConcurrent: 9}}", { ...DEFAULT, retry: { ...RETRY, budgetMinConcurrent: 9 } }],
  ])("%s", ([text, expected]) => {
    expect(rule(text).policy).toMatchObject(expected);
  });

  test.for<[string, string, string]>([
    ["name: x", "default/web:80", "LeastRequest"],
    ["loadBalancing: {algorithm: LeastRequest}", "default/web:80", "LeastRequest"],
    ["loadBalancing: {algorithm: RoundRobin}", "default/web:80#lb=RoundRobin", "RoundRobin"],
    ["timeouts: {connect: 5s}", "default/web:80", "LeastRequest"],
    ["timeouts: {connect: 1s}", "default/web:80#connect=1000", "LeastRequest"],
    ["retry: {attempts: 3}", "default/web:80", "LeastRequest"],
    ["retry: {budget: {}}", "default/web:80#budget=20,3", "LeastRequest"],
    [
      "loadBalancing: {algorithm: Random}, retry: {budget: {percent: 50}}, timeouts: {connect: 1s}",
      "default/web:80#lb=Random;connect=1000;budget=50,3",
      "Random",
    ],
  ])("what is shared under %s: %s", ([text, state, algorithm]) => {
    expect(stateOf(text)).toEqual([[state, algorithm]]);
  });
});
