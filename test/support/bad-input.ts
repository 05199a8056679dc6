/**
 * Bad input, used twice: through the API server, which refuses it, and straight into translation, which must not rely
 * on that. Each row: title, YAML, what the message says, and whether only the controller can tell.
 */
export type BadInput = readonly [title: string, yaml: string, message: RegExp, controllerOnly?: "controller only"];

/** Hostnames that none may have, by row of the catalogue. */
export const BAD_HOSTNAMES: Readonly<Record<string, readonly string[]>> = {
  "B2: no DNS name": [
    "",
    "a".repeat(254),
    `${"a".repeat(64)}.example.com`,
    "-a.example.com",
    "a-.example.com",
    ".example.com",
    "example.com.",
    "a_b.example.com",
    "a b.example.com",
    "example.com:80",
    "http://example.com",
    "example.com/x",
    "exa\0mple.com",
    "a\r\nb.com",
  ],
  "B3: an address": ["10.0.0.1", "[::1]", "0x7f.1", "0127.0.0.1", "127.1", "2130706433"],
  "B4: a wildcard elsewhere than in front": ["*", "*.", "f*.x", "*.*.x", "x.*", "*x.com"],
  "B5: capitals": ["UPPER.example.com"],
  "B6: beyond ASCII": ["bücher.example", "example。com", "ехample.com\u202e"],
};

const WEB = "backendRefs: [{name: web, port: 80}]";

/** Whole specs. */
export const BAD_SPECS: readonly BadInput[] = [
  ["B1: an unknown field", "colour: red", /unknown field "colour"/],
  ["B1: a wrong type", "hostnames: shop", /expected array/],
  ["B1: null, which the API server takes for absent", "rules: null", /expected array/, "controller only"],
  ["B1: no rules", "rules: []", /expected array to have >=1/],
  ...Object.entries(BAD_HOSTNAMES).flatMap(([row, hostnames]) =>
    hostnames.map((hostname): BadInput => [
      `${row}, hostname ${JSON.stringify(hostname.slice(0, 30))}`,
      `hostnames: [${JSON.stringify(hostname)}]`,
      /hostnames/,
    ]),
  ),
  [
    "B1: a parent twice",
    "parentRefs: [{name: a}, {name: b}, {group: gateway.networking.k8s.io, kind: Gateway, name: a}]\nrules: [{}]",
    /must not name the same parent, sectionName and port twice/,
    "controller only",
  ],
  ["B20: 65 rules", `rules: [${Array.from({ length: 65 }, () => "{}").join(",")}]`, /to have <=64/],
  [
    "F42: 4,096 matches",
    `rules: [${Array.from({ length: 64 }, () => `{matches: [${Array.from({ length: 64 }, (_, i) => `{path: {value: /p${i}}}`).join(",")}]}`).join(",")}]`,
    /at most 256/,
  ],
];

/** Single rules, as the content of a YAML flow mapping. */
export const BAD_RULES: readonly BadInput[] = [
  ["B18: weight -1", "backendRefs: [{name: web, port: 80, weight: -1}]", /weight/],
  ["B18: weight 1.5", "backendRefs: [{name: web, port: 80, weight: 1.5}]", /weight/],
  ["B18: weight 1000001", "backendRefs: [{name: web, port: 80, weight: 1000001}]", /weight/],
  ["B18: weight as text", 'backendRefs: [{name: web, port: 80, weight: "1"}]', /weight/],
  [
    "B20: 17 backends",
    `backendRefs: [${Array.from({ length: 17 }, () => "{name: web, port: 80}").join(",")}]`,
    /to have <=16/,
  ],
  ...["(?=a)b", "(a)\\\\1", "a{1001}", "(?>a)", "a++", "((a{100}){100}){10}", "(", "[a"].map((pattern): BadInput => [
    `B22: the pattern ${pattern}`,
    `matches: [{path: {type: RegularExpression, value: "${pattern}"}}], ${WEB}`,
    /not an RE2 pattern/,
    "controller only",
  ]),
  ...["TRACE", "CONNECT"].map((method): BadInput => [
    `B1: the method ${method}, which no route is asked for`,
    `matches: [{method: ${method}}], ${WEB}`,
    /matches\[0\]\.method: .* answered 405/,
    "controller only",
  ]),
  ["B22: no pattern", `matches: [{path: {type: RegularExpression, value: ""}}], ${WEB}`, /value is required/],
  [
    "B22: a pattern of 2,000 characters",
    `matches: [{path: {type: RegularExpression, value: "${"a".repeat(2000)}"}}], ${WEB}`,
    /matches\[0\].path.value/,
  ],
  ...["a", "/a?b", "/a#b", "//a", "/a/../b", "/./a", "/a%2fb", "/a%5Cb", "/a%00", "/a b", `/${"a".repeat(1024)}`].map(
    (path): BadInput => [`B24: the path ${path.slice(0, 20)}`, `matches: [{path: {value: "${path}"}}], ${WEB}`, /path/],
  ),
  ["B27: an empty header name", `matches: [{headers: [{name: "", value: x}]}], ${WEB}`, /headers\[0\].name/],
  [
    "B27: a header value of 4,097 characters",
    `matches: [{headers: [{name: a, value: ${"x".repeat(4097)}}]}], ${WEB}`,
    /headers\[0\].value/,
  ],
  ...[
    "Host",
    "Connection",
    "Transfer-Encoding",
    "Content-Length",
    "Upgrade",
    "TE",
    "Keep-Alive",
    "Proxy-Authorization",
    "X-Forwarded-For",
    "x-envoy-retry-on",
    "x-serviceroute-hops",
    "x-serviceroute-mirrored-by",
  ].map((name): BadInput => [
    `B28, S5: header ${name}`,
    `filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: ${name}, value: x}]}}], ${WEB}`,
    /belongs to the gateway/,
    "controller only",
  ]),
  [
    "B28: an invalid header name",
    `filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: "x a", value: x}]}}], ${WEB}`,
    /set\[0\].name/,
  ],
  [
    "B28: a pseudo-header",
    `filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [":path"]}}], ${WEB}`,
    /remove\[0\]/,
  ],
  [
    "B29: a line break in a header",
    `filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: "x\\r\\ny"}]}}], ${WEB}`,
    /set\[0\].value/,
  ],
  [
    "B29: a value beyond ASCII",
    `filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: "日本"}]}}], ${WEB}`,
    /set\[0\].value/,
  ],
  ["B33: port 0", "backendRefs: [{name: web, port: 0}]", /port/],
  ["B33: port 65536", "backendRefs: [{name: web, port: 65536}]", /port/],
  ["B33: a port by name", "backendRefs: [{name: web, port: http}]", /port/],
  ["B33: no port", "backendRefs: [{name: web}]", /port is required/],
  ["B34: scheme javascript", "filters: [{type: RequestRedirect, requestRedirect: {scheme: javascript}}]", /scheme/],
  ["B34: a host with a path", "filters: [{type: RequestRedirect, requestRedirect: {hostname: a/b}}]", /hostname/],
  ["B34: port 0", "filters: [{type: RequestRedirect, requestRedirect: {port: 0}}]", /port/],
  [
    "B34: a line break in the host",
    'filters: [{type: RequestRedirect, requestRedirect: {hostname: "a\\r\\nb"}}]',
    /hostname/,
  ],
  [
    "B34: a redirect to itself",
    "filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301}}]",
    /requestRedirect: leads every request back to where it came from; set scheme/,
    "controller only",
  ],
  ["B34: status 200", "filters: [{type: RequestRedirect, requestRedirect: {statusCode: 200}}]", /statusCode/],
  [
    "B35: redirect and backends",
    `filters: [{type: RequestRedirect, requestRedirect: {}}], ${WEB}`,
    /must not be used together/,
  ],
  [
    "B35: redirect and rewrite",
    "filters: [{type: RequestRedirect, requestRedirect: {}}, {type: URLRewrite, urlRewrite: {}}]",
    /only one of/,
  ],
  [
    "B36: a replacement with dots",
    `filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /../x}}}], ${WEB}`,
    /segments/,
    "controller only",
  ],
  [
    "B37: an extension filter",
    `filters: [{type: ExtensionRef, extensionRef: {group: x.example, kind: Y, name: z}}], ${WEB}`,
    /no extension filter/,
    "controller only",
  ],
  ["B37: an unknown filter", `filters: [{type: Magic}], ${WEB}`, /filters\[0\].type/],
  ["B38: no unit", `timeouts: {request: "5"}, ${WEB}`, /timeouts.request/],
  ["B38: a billion seconds", `timeouts: {request: 1000000000s}, ${WEB}`, /timeouts.request/],
  ["B38: attempts without end", `retry: {attempts: 1000000000}, ${WEB}`, /retry.attempts/],
  ["B38: code 600", `retry: {codes: [600]}, ${WEB}`, /retry.codes/],
  ["B38: a negative timeout", `timeouts: {request: -1s}, ${WEB}`, /timeouts.request/],
  ["B38: backendRequest over request", `timeouts: {request: 1s, backendRequest: 2s}, ${WEB}`, /longer than/],
  ["B38: 11 attempts", `retry: {attempts: 11}, ${WEB}`, /retry.attempts/],
  ["B38: code 99", `retry: {codes: [99]}, ${WEB}`, /retry.codes/],
  ["B39: an exponent", `timeouts: {request: 1e3s}, ${WEB}`, /timeouts.request/],
  ["B39: unicode digits", `timeouts: {request: "１s"}, ${WEB}`, /timeouts.request/],
  [
    "B40: percent 101",
    `filters: [{type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}, percent: 101}}], ${WEB}`,
    /percent/,
  ],
  [
    "B40: denominator 0",
    `filters: [{type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}, fraction: {numerator: 0, denominator: 0}}}], ${WEB}`,
    /denominator/,
  ],
  ["a body limit over 1Gi", `maxRequestBody: 2Gi, ${WEB}`, /between 1 and 1Gi/],
  [
    "a union with the wrong member",
    `filters: [{type: CORS, requestRedirect: {}}], ${WEB}`,
    /must be absent|is required/,
  ],
  [
    "a status of a direct response",
    "filters: [{type: DirectResponse, directResponse: {statusCode: 199}}]",
    /statusCode/,
  ],
  [
    "a substitution without its group",
    `filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceRegexMatch, replaceRegexMatch: {pattern: a, substitution: "\\\\1"}}}}], ${WEB}`,
    /group/,
    "controller only",
  ],
  ["grpc with a path", `matches: [{grpc: {service: a}, path: {value: /x}}], ${WEB}`, /excludes path/],
];
