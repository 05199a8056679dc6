import { expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import { pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

const WEB = "backendRefs: [{name: web, port: 80}]";
const RULE = "rules[0]";
const FILTER = `${RULE}.filters[0]`;

/** What a route with this rule is told, and answers. */
function complaint(rule: string): unknown[] {
  const rig = pipeline();
  const key = keyOf("ServiceRoute", "default", "r");
  const output = rig.apply(serviceYaml("web") + routeYaml("r", `rules: [{${rule}}]`));
  const status = output?.routeStatuses.get(key);
  const conditions = [...(status?.parents[0]?.conditions ?? []), ...(status?.conditions ?? [])];
  const { reason, message } =
    conditions.find(({ type, status }) => status === "False" && (type === "Accepted" || type === "ResolvedRefs")) ??
    conditions.find(({ type }) => type === "PartiallyInvalid") ??
    {};
  const action = rig.translator.table.routes.get(key)?.entries[0]?.rule.action;
  return [reason, message, action?.kind === "fail" ? action.message : action?.kind];
}
const specProblem = (message: string): unknown[] => ["UnsupportedValue", message, message];

const header = (type: "Request" | "Response", change: string): string =>
  `{type: ${type}HeaderModifier, ${type.toLowerCase()}HeaderModifier: ${change}}`;
const rewrite = (path: string): string => `{type: URLRewrite, urlRewrite: {path: ${path}}}`;
const regex = (pattern: string, substitution: string): string =>
  `{type: ReplaceRegexMatch, replaceRegexMatch: {pattern: ${JSON.stringify(pattern)}, substitution: ${JSON.stringify(substitution)}}}`;
const notOurs = (name: string): string => `header "${name}" belongs to the gateway and cannot be changed`;
const DOTS = "must not contain '//', '.' or '..' segments";

test.for<[string, string, string]>([
  [header("Request", "{set: [{name: Host, value: x}]}"), "requestHeaderModifier.set[0].name", notOurs("Host")],
  [
    header("Request", "{add: [{name: a, value: x}, {name: proxy-x, value: x}]}"),
    "requestHeaderModifier.add[1].name",
    notOurs("proxy-x"),
  ],
  [header("Response", "{remove: [a, te]}"), "responseHeaderModifier.remove[1]", notOurs("te")],
  [
    rewrite("{type: ReplaceFullPath, replaceFullPath: /a/../b}"),
    "urlRewrite.path.replaceFullPath",
    `"/a/../b" ${DOTS}`,
  ],
  [rewrite("{type: ReplaceFullPath, replaceFullPath: ../b}"), "urlRewrite.path.replaceFullPath", `"../b" ${DOTS}`],
  [rewrite("{type: ReplaceFullPath, replaceFullPath: /a/.}"), "urlRewrite.path.replaceFullPath", `"/a/." ${DOTS}`],
  [
    rewrite("{type: ReplacePrefixMatch, replacePrefixMatch: /a//b}"),
    "urlRewrite.path.replacePrefixMatch",
    `"/a//b" ${DOTS}`,
  ],
  [rewrite(regex("(", "x")), "urlRewrite.path.replaceRegexMatch.pattern", "not an RE2 pattern: "],
  [
    rewrite(regex("(a)", "\\2")),
    "urlRewrite.path.replaceRegexMatch.substitution",
    "names a group that pattern does not have",
  ],
  [
    "{type: ExtensionRef, extensionRef: {group: x.test, kind: Y, name: z}}",
    "extensionRef",
    "no extension filter is supported",
  ],
])("a filter's mistake is told with its field: %s", ([filter, field, message]) => {
  const [reason, told, answer] = complaint(`filters: [${filter}], ${WEB}`);
  expect(reason).toBe("UnsupportedValue");
  expect(told).toContain(`${FILTER}.${field}: ${message}`);
  expect(answer).toContain(`${FILTER}.${field}: ${message}`);
});

test.for<[string, string]>([
  [
    "filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /./}}}]",
    `${FILTER}.requestRedirect.path.replaceFullPath: "/./" ${DOTS}`,
  ],
  [
    "filters: [{type: RequestRedirect, requestRedirect: {}}]",
    `${FILTER}.requestRedirect: leads every request back to where it came from; set scheme, hostname, port or path`,
  ],
  [
    WEB.replace(
      "port: 80",
      "port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [host]}}]",
    ),
    `${RULE}.backendRefs[0].filters[0].requestHeaderModifier.remove[0]: ${notOurs("host")}`,
  ],
])("a mistake of an answer or of a backend too: %s", ([rule, message]) => {
  expect(complaint(rule)).toEqual(specProblem(message));
});

test.for<[string, string]>([
  ["headers: [{name: a, value: b}, {name: b, type: RegularExpression, value: '('}]", "headers[1].value"],
  ["cookies: [{name: b, type: RegularExpression, value: '('}]", "cookies[0].value"],
  ["queryParams: [{name: b, type: RegularExpression, value: '('}]", "queryParams[0].value"],
  ["path: {type: RegularExpression, value: '/('}", "path.value"],
  ["grpc: {type: RegularExpression, service: '('}", "grpc"],
])("a pattern of a match that is none is told with its field: %s", ([match, field]) => {
  const [reason, message] = complaint(`matches: [{method: GET}, {${match}}], ${WEB}`);
  expect(reason).toBe("UnsupportedValue");
  expect(message).toContain(`${RULE}.matches[1].${field}: not an RE2 pattern: `);
});

test("a mirror that leads nowhere is told with its field", () => {
  const rule = `filters: [{type: RequestMirror, requestMirror: {backendRef: {name: gone, port: 80}}}], ${WEB}`;
  expect(complaint(rule)).toEqual([
    "BackendNotFound",
    `${FILTER}.requestMirror.backendRef: Service default/gone does not exist`,
    "forward",
  ]);
});

test.for(["", "spec:\n", "spec: null\n"])("B1: a route without a spec is refused, and serves nothing: %j", (spec) => {
  const rig = pipeline();
  const key = keyOf("ServiceRoute", "default", "r");
  const output = rig.apply(
    `---\napiVersion: serviceroute.dev/v1alpha1\nkind: ServiceRoute\nmetadata: {name: r}\n${spec}`,
  );
  const accepted = output?.routeStatuses.get(key)?.conditions.find(({ type }) => type === "Accepted");
  expect([accepted?.status, accepted?.reason, accepted?.message]).toEqual([
    "False",
    "UnsupportedValue",
    "spec: is required",
  ]);
  expect(rig.translator.table.routes.has(key)).toBe(false);
});

test("two rules of one name: the second is refused, by the field of its name", () => {
  const second = 'rules[1].name: "a" is the name of another rule';
  const [reason, message] = complaint(`name: a, ${WEB}}, {name: a, matches: [{path: {value: /b}}], ${WEB}`);
  expect([reason, message]).toEqual([
    "UnsupportedValue",
    `Dropped Rule a: what it matches is answered with 500. ${second}`,
  ]);
});

test.for<[string, string]>([
  ["algorithm: RingHash, hashOn: [{type: SourceIP}]", "algorithm: RingHash is not served yet"],
  ["algorithm: RingHash, hashOn: [{type: SourceIP}]", "hashOn: hashOn is not served yet"],
  ["slowStart: 10s", "slowStart: slowStart is not served yet"],
])("what of load balancing is not served is told field by field: %s", ([policy, message]) => {
  expect(complaint(`loadBalancing: {${policy}}, ${WEB}`)[1]).toContain(`${RULE}.loadBalancing.${message}`);
});

test("an empty list of what is not served asks for nothing", () => {
  expect(complaint(`loadBalancing: {hashOn: []}, rateLimits: [], ${WEB}`)).toEqual([undefined, undefined, "forward"]);
});

test.for<[string, string, string]>([
  ["fault: {}", "", "defaults.fault"],
  ["fault: {}", "fault: {}, ", "rules[0].fault"],
  ["", "fault: {}, ", "rules[0].fault"],
  ["loadBalancing: {slowStart: 10s}", "loadBalancing: {algorithm: RingHash}, ", "rules[0].loadBalancing.algorithm"],
  ["loadBalancing: {slowStart: 10s}", "", "defaults.loadBalancing.slowStart"],
])("a mistake is told where it stands: defaults {%s}, rule {%s} → %s", ([defaults, rule, field]) => {
  const rig = pipeline();
  const output = rig.apply(serviceYaml("web") + routeYaml("r", `defaults: {${defaults}}\nrules: [{${rule}${WEB}}]`));
  const accepted = output?.routeStatuses
    .get(keyOf("ServiceRoute", "default", "r"))
    ?.conditions.find(({ type }) => type === "Accepted");
  expect(accepted?.message).toMatch(new RegExp(`^${field.replaceAll(/[.[\]]/g, "\\$&")}: \\w+ is not served yet$`));
});
