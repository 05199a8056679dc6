import { z } from "zod";
import { BackendObjectRef } from "./backend-ref.ts";
import { constrain, unionRules } from "./constraint.ts";
import {
  Group,
  HeaderName,
  HeaderValue,
  KindName,
  ObjectName,
  Percent,
  Port,
  PreciseHostname,
  RegexSource,
  listMap,
  listSet,
} from "./primitives.ts";

const HeaderChange = z.strictObject({ name: HeaderName, value: HeaderValue });

const HeaderModifier = z.strictObject({
  set: z.array(HeaderChange).max(16).optional().meta(listMap).describe("Headers to overwrite."),
  add: z.array(HeaderChange).max(16).optional().meta(listMap).describe("Headers to append to what is there."),
  remove: z.array(HeaderName).max(16).optional().meta(listSet).describe("Header names to remove, case-insensitive."),
});

/** A literal that ends up in a URL's path: no control bytes, no query, no fragment, no dot segments (B34, B36). */
const PathLiteral = z
  .string()
  .max(1024)
  .regex(/^[-A-Za-z0-9/._~!$&'()*+,;=:@%]*$/);

const RedirectPath = constrain(
  z.strictObject({
    type: z.enum(["ReplaceFullPath", "ReplacePrefixMatch"]),
    replaceFullPath: PathLiteral.optional(),
    replacePrefixMatch: PathLiteral.optional(),
  }),
  ...unionRules({ ReplaceFullPath: "replaceFullPath", ReplacePrefixMatch: "replacePrefixMatch" }),
);

const RewritePath = constrain(
  z.strictObject({
    type: z.enum(["ReplaceFullPath", "ReplacePrefixMatch", "ReplaceRegexMatch"]),
    replaceFullPath: PathLiteral.optional().describe("The new path."),
    replacePrefixMatch: PathLiteral.optional().describe("What replaces the matched prefix."),
    replaceRegexMatch: z
      .strictObject({
        pattern: RegexSource.describe("RE2 pattern; every match in the path is replaced."),
        substitution: z.string().max(1024).describe("Replacement; \\0 to \\9 are the groups of pattern."),
      })
      .optional()
      .describe("Replaces every match of a pattern. A result that does not start with / answers 500."),
  }),
  ...unionRules({
    ReplaceFullPath: "replaceFullPath",
    ReplacePrefixMatch: "replacePrefixMatch",
    ReplaceRegexMatch: "replaceRegexMatch",
  }),
);

const RequestRedirect = z.strictObject({
  scheme: z.enum(["http", "https"]).optional().describe("Default: the request's scheme."),
  hostname: PreciseHostname.optional().describe("Default: the request's host."),
  path: RedirectPath.optional().describe("Default: the request's path."),
  port: Port.optional().describe("Default: the scheme's own port if scheme is set, else the listener's."),
  statusCode: z.literal([301, 302, 303, 307, 308]).optional().meta({ type: "integer" }).describe("Default: 302."),
});

const UrlRewrite = z.strictObject({
  hostname: PreciseHostname.optional().describe("The Host that the backend sees."),
  path: RewritePath.optional().describe("The path that the backend sees."),
});

const DirectResponse = z.strictObject({
  statusCode: z.int().min(200).max(599).describe("Status of the answer."),
  body: z.string().max(4096).optional().describe("Body, up to 4 KiB."),
  contentType: HeaderValue.max(256).optional().describe("Default: text/plain; charset=utf-8 when there is a body."),
});

const RequestMirror = constrain(
  z.strictObject({
    backendRef: BackendObjectRef.describe("Where the copy goes. Its answer is ignored."),
    percent: Percent.optional().describe("Share of requests to copy. Default: 100."),
    fraction: constrain(
      z.strictObject({
        numerator: z.int().min(0).max(2_147_483_647),
        denominator: z.int().min(1).max(2_147_483_647).optional(),
      }),
      {
        rule: "self.numerator <= (has(self.denominator) ? self.denominator : 100)",
        message: "numerator must be at most denominator",
        ok: (fraction) => fraction.numerator <= (fraction.denominator ?? 100),
      },
    )
      .optional()
      .describe("Share of requests to copy, finer than percent. Default denominator: 100."),
  }),
  {
    rule: "!(has(self.percent) && has(self.fraction))",
    message: "only one of percent and fraction may be given",
    ok: (mirror) => mirror.percent === undefined || mirror.fraction === undefined,
  },
);

const loneStar = <T extends string>(what: string) => ({
  rule: "!('*' in self && self.size() > 1)",
  message: `${what} cannot contain '*' alongside others`,
  ok: (values: readonly T[]): boolean => !(values as readonly string[]).includes("*") || values.length === 1,
});

const CORS_METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"] as const;

const Cors = z.strictObject({
  allowOrigins: constrain(
    z
      .array(
        z
          .string()
          .min(1)
          .max(253)
          .regex(/(^\*$)|(^(http(s)?):\/\/(((\*\.)?([a-zA-Z0-9-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$)/),
      )
      .max(64),
    loneStar("allowOrigins"),
  )
    .optional()
    .meta(listSet)
    .describe(
      "Origins that may read the answer: *, or scheme://host[:port], where host may start with *. as a wildcard.",
    ),
  allowCredentials: z.boolean().optional().describe("Whether credentials may be sent. Default: false."),
  allowMethods: constrain(z.array(z.enum(CORS_METHODS)).max(9), loneStar("allowMethods"))
    .optional()
    .meta(listSet),
  allowHeaders: constrain(z.array(HeaderName).max(64), loneStar("allowHeaders")).optional().meta(listSet),
  exposeHeaders: z.array(HeaderName).max(64).optional().meta(listSet),
  maxAge: z.int().min(1).max(2_147_483_647).optional().describe("Seconds a preflight may be cached. Default: 5."),
});

const ExternalAuth = constrain(
  z.strictObject({
    protocol: z.enum(["HTTP", "GRPC"]),
    backendRef: BackendObjectRef,
    http: z
      .strictObject({
        path: PathLiteral.optional(),
        allowedHeaders: z.array(z.string().max(256)).max(64).optional().meta(listSet),
        allowedResponseHeaders: z.array(z.string().max(256)).max(64).optional().meta(listSet),
      })
      .optional(),
    grpc: z.strictObject({ allowedHeaders: z.array(z.string().max(256)).max(64).optional().meta(listSet) }).optional(),
    forwardBody: z.strictObject({ maxSize: z.int().min(0).max(65_535).optional() }).optional(),
  }),
  {
    rule: "(self.protocol == 'HTTP') == has(self.http) && (self.protocol == 'GRPC') == has(self.grpc)",
    message: "exactly the member that protocol names must be present",
    ok: (auth) =>
      (auth.protocol === "HTTP") === (auth.http !== undefined) &&
      (auth.protocol === "GRPC") === (auth.grpc !== undefined),
  },
);

const members = {
  RequestHeaderModifier: "requestHeaderModifier",
  ResponseHeaderModifier: "responseHeaderModifier",
  RequestMirror: "requestMirror",
  RequestRedirect: "requestRedirect",
  URLRewrite: "urlRewrite",
  ExtensionRef: "extensionRef",
  CORS: "cors",
  ExternalAuth: "externalAuth",
  DirectResponse: "directResponse",
} as const;
export type FilterType = keyof typeof members;

export const RouteFilter = constrain(
  z.strictObject({
    type: z.enum(Object.keys(members) as [FilterType, ...FilterType[]]).describe("Which member below is set."),
    requestHeaderModifier: HeaderModifier.optional().describe("Changes headers on the way to the backend."),
    responseHeaderModifier: HeaderModifier.optional().describe("Changes headers on the way to the client."),
    requestMirror: RequestMirror.optional().describe("Copies requests to a second backend."),
    requestRedirect: RequestRedirect.optional().describe("Answers with a redirect."),
    urlRewrite: UrlRewrite.optional().describe("Changes host or path on the way to the backend."),
    cors: Cors.optional().describe("Cross-origin resource sharing; preflight requests are answered by the gateway."),
    externalAuth: ExternalAuth.optional().describe("Asks another service whether a request may pass."),
    extensionRef: z
      .strictObject({ group: Group, kind: KindName, name: ObjectName })
      .optional()
      .describe("A filter of another kind. None is supported yet."),
    directResponse: DirectResponse.optional().describe("Answers without a backend."),
  }),
  ...unionRules(members),
);
export type RouteFilter = z.output<typeof RouteFilter>;

const ONCE = [
  "CORS",
  "RequestHeaderModifier",
  "ResponseHeaderModifier",
  "RequestRedirect",
  "URLRewrite",
  "DirectResponse",
  "ExternalAuth",
];

/** A rule's or a backendRef's filters: each kind at most once but mirrors and extensions, and one kind of terminal change. */
export const RouteFilters = constrain(
  z.array(RouteFilter).max(16),
  ...ONCE.map((type) => ({
    rule: `self.filter(f, f.type == '${type}').size() <= 1`,
    message: `${type} filter cannot be repeated`,
    ok: (filters: readonly { type: string }[]): boolean => filters.filter((f) => f.type === type).length <= 1,
  })),
  {
    rule: "self.filter(f, f.type in ['RequestRedirect', 'URLRewrite', 'DirectResponse']).size() <= 1",
    message: "only one of RequestRedirect, URLRewrite and DirectResponse may be given",
    ok: (filters) =>
      filters.filter((f) => ["RequestRedirect", "URLRewrite", "DirectResponse"].includes(f.type)).length <= 1,
  },
);
