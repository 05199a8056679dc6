import { fc } from "./property.ts";

/** A match as users write it, with everything that can be matched on. */
export interface WrittenMatch {
  readonly path?: { readonly type: "Exact" | "PathPrefix" | "RegularExpression"; readonly value: string };
  readonly method?: string;
  readonly headers?: readonly WrittenValue[];
  readonly queryParams?: readonly WrittenValue[];
  readonly cookies?: readonly WrittenValue[];
  readonly grpc?: { readonly type: "Exact"; readonly service: string; readonly method?: string };
}
export interface WrittenValue {
  readonly type: "Exact" | "RegularExpression";
  readonly name: string;
  readonly value: string;
}
export interface WrittenRule {
  readonly matches: readonly WrittenMatch[];
  readonly backendRefs?: readonly object[];
  readonly filters?: readonly object[];
  readonly [policy: string]: unknown;
}
export interface WrittenRoute {
  readonly name: string;
  /** RFC 3339. */
  readonly createdAt: string;
  readonly hostnames: readonly string[];
  readonly rules: readonly WrittenRule[];
}

const path: fc.Arbitrary<NonNullable<WrittenMatch["path"]>> = fc.oneof(
  fc.record({ type: fc.constant("Exact" as const), value: fc.constantFrom("/", "/a", "/a/b", "/a/b/c", "/shop/cart") }),
  fc.record({ type: fc.constant("PathPrefix" as const), value: fc.constantFrom("/", "/a", "/a/", "/a/b", "/shop") }),
  fc.record({
    type: fc.constant("RegularExpression" as const),
    value: fc.constantFrom("/a.*", "/a/[a-z]+", "/shop/(cart|pay)", "/[ab]/b"),
  }),
);
const exactly = (names: readonly string[], values: readonly string[]): fc.Arbitrary<WrittenValue> =>
  fc.record({
    type: fc.constant("Exact" as const),
    name: fc.constantFrom(...names),
    value: fc.constantFrom(...values),
  });
const byPattern = (names: readonly string[]): fc.Arbitrary<WrittenValue> =>
  fc.record({
    type: fc.constant("RegularExpression" as const),
    name: fc.constantFrom(...names),
    value: fc.constant("v[0-9]"),
  });
const values = (names: readonly string[]): fc.Arbitrary<WrittenValue[]> =>
  fc.uniqueArray(fc.oneof({ weight: 3, arbitrary: exactly(names, ["v1", "v2", "other"]) }, byPattern(names)), {
    maxLength: 2,
    selector: ({ name }) => name.toLowerCase(),
  });

/** Absent more often than not, so that a random request has a chance. */
const sometimes = <K extends string, T>(key: K, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<Partial<Record<K, T>>> =>
  fc
    .option(arbitrary, { freq: 2, nil: undefined })
    .map((value) => (value === undefined ? {} : { [key]: value })) as never;
const rarely = <K extends string, T>(key: K, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<Partial<Record<K, T>>> =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constant({}) },
    { weight: 1, arbitrary: arbitrary.map((value) => ({ [key]: value })) },
  ) as never;

const conditions = fc
  .tuple(
    rarely("method", fc.constantFrom("GET", "POST")),
    rarely("headers", values(["X-A", "x-b"])),
    rarely("queryParams", values(["q", "p"])),
    rarely("cookies", values(["c", "d"])),
  )
  .map((parts) => Object.assign({}, ...parts) as WrittenMatch);
const httpMatch = fc.tuple(sometimes("path", path), conditions).map(([at, rest]): WrittenMatch => ({ ...rest, ...at }));
const grpcMatch = fc
  .tuple(fc.constantFrom("shop.Cart", "shop.Pay"), fc.option(fc.constantFrom("Add", "Remove"), { nil: undefined }))
  .map(([service, method]): WrittenMatch => ({
    grpc: { type: "Exact", service, ...(method === undefined ? {} : { method }) },
  }));
export const writtenMatch = fc.oneof({ weight: 6, arbitrary: httpMatch }, { weight: 1, arbitrary: grpcMatch });

const headerChange = fc.constantFrom("RequestHeaderModifier", "ResponseHeaderModifier").map((type) => ({
  type,
  [type[0]!.toLowerCase() + type.slice(1)]: { set: [{ name: "x-set", value: "1" }], remove: ["x-gone"] },
}));
const cors = fc.constant({ type: "CORS", cors: { allowOrigins: ["https://a.example.com"] } });
const mirror = fc.integer({ min: 1, max: 100 }).map((percent) => ({
  type: "RequestMirror",
  requestMirror: { backendRef: { name: "s0", port: 80 }, percent },
}));
const rewrite = fc.constantFrom("/full", "/other").map((replaceFullPath) => ({
  type: "URLRewrite",
  urlRewrite: { hostname: "inner.example.com", path: { type: "ReplaceFullPath", replaceFullPath } },
}));
const redirect = fc.constantFrom(301, 302).map((statusCode) => ({
  type: "RequestRedirect",
  requestRedirect: { scheme: "https", statusCode },
}));
const direct = fc.constantFrom(200, 404).map((statusCode) => ({
  type: "DirectResponse",
  directResponse: { statusCode, body: "said" },
}));
const oneOfEach = (filters: readonly { type: string }[]): object[] => [
  ...new Map(filters.map((filter) => [filter.type, filter])).values(),
];

const policies = fc
  .tuple(
    rarely("timeouts", fc.constantFrom({ request: "10s" }, { request: "10s", backendRequest: "2s" }, { idle: "1m" })),
    rarely("retry", fc.constantFrom({ attempts: 2, codes: [503] }, { budget: { percent: 50 } })),
    rarely(
      "loadBalancing",
      fc.constantFrom({ algorithm: "RoundRobin" }, { algorithm: "Random" }, { algorithm: "LeastRequest" }),
    ),
    rarely("whenNoEndpoints", fc.constantFrom("Redistribute", "Fail")),
    rarely("maxRequestBody", fc.constantFrom("1Ki", "10Mi")),
  )
  .map((parts) => Object.assign({}, ...parts) as Record<string, unknown>);
const backendRefs = fc.array(
  fc.record({ name: fc.constantFrom("s0", "s1", "s2"), port: fc.constant(80), weight: fc.constantFrom(0, 1, 9, 90) }),
  { minLength: 1, maxLength: 3 },
);
const forwarding = fc
  .tuple(backendRefs, fc.array(fc.oneof(headerChange, cors, mirror, rewrite), { maxLength: 3 }), policies)
  .map(([refs, filters, policy]) => ({ ...policy, backendRefs: refs, filters: oneOfEach(filters) }));
const answering = fc.oneof(redirect, direct).map((filter) => ({ filters: [filter] }));

export const writtenRule: fc.Arbitrary<WrittenRule> = fc
  .tuple(
    fc.array(writtenMatch, { minLength: 1, maxLength: 3 }),
    fc.oneof({ weight: 9, arbitrary: forwarding }, { weight: 1, arbitrary: answering }),
  )
  .map(([matches, rest]) => ({ matches, ...rest }));

export const HOSTS = ["a.example.com", "b.example.com", "*.example.com", "*.b.example.com"] as const;

export const writtenRoute = (names: readonly string[]): fc.Arbitrary<WrittenRoute> =>
  fc.record({
    name: fc.constantFrom(...names),
    createdAt: fc.integer({ min: 1, max: 3 }).map((day) => `2026-01-0${day}T00:00:00Z`),
    hostnames: fc.subarray([...HOSTS], { maxLength: 2 }),
    rules: fc.array(writtenRule, { minLength: 1, maxLength: 3 }),
  });

/** As a manifest: JSON is YAML. */
export const manifestOf = ({ name, createdAt, hostnames, rules }: WrittenRoute, extra: object = {}): string =>
  `---\n${JSON.stringify({
    apiVersion: "serviceroute.dev/v1alpha1",
    kind: "ServiceRoute",
    metadata: { name, namespace: "default", creationTimestamp: createdAt },
    spec: { hostnames, rules, ...extra },
  })}\n`;
