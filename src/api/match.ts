import { z } from "zod";
import { constrain } from "./constraint.ts";
import { HeaderName, HeaderValue, Method, listMap } from "./primitives.ts";

const DOT_SEGMENTS = /\/\/|\/[.][.]?(\/|$)/;
const ENCODED_SEPARATOR = /%(2[fF]|5[cC]|00)/;
const PATH_CHARACTERS = /^[!$-;=@-Z_a-z~]*$/;
const BAD_ESCAPE = /%(?![0-9a-fA-F]{2})/;

const literal = (path: { type?: string | undefined }): boolean => path.type !== "RegularExpression";

const PathMatch = constrain(
  z.strictObject({
    type: z
      .enum(["Exact", "PathPrefix", "RegularExpression"])
      .optional()
      .describe(
        "How value is compared: Exact, PathPrefix (whole segments) or RegularExpression (RE2, full match, without the query). Default: PathPrefix.",
      ),
    value: z.string().max(1024).optional().describe("The path, or the RE2 pattern. Default: /."),
  }),
  {
    rule: "!has(self.value) || (has(self.type) && self.type == 'RegularExpression') || self.value.startsWith('/')",
    message: "value must start with '/' for Exact and PathPrefix",
    ok: (path) => path.value === undefined || !literal(path) || path.value.startsWith("/"),
  },
  {
    rule: "!has(self.value) || (has(self.type) && self.type == 'RegularExpression') || !self.value.matches('//|/[.][.]?(/|$)')",
    message: "value must not contain '//', '/./' or '/../' for Exact and PathPrefix",
    ok: (path) => path.value === undefined || !literal(path) || !DOT_SEGMENTS.test(path.value),
  },
  {
    rule: "!has(self.value) || (has(self.type) && self.type == 'RegularExpression') || !self.value.matches('%(2[fF]|5[cC]|00)')",
    message: "value must not contain '%2f', '%5c' or '%00' for Exact and PathPrefix",
    ok: (path) => path.value === undefined || !literal(path) || !ENCODED_SEPARATOR.test(path.value),
  },
  {
    rule: "!has(self.value) || (has(self.type) && self.type == 'RegularExpression') || self.value.matches('^[!$-;=@-Z_a-z~]*$')",
    message: "value must hold only characters of a URL path for Exact and PathPrefix",
    ok: (path) => path.value === undefined || !literal(path) || PATH_CHARACTERS.test(path.value),
  },
  {
    rule: "",
    message: "value must hold '%' only before two hexadecimal digits for Exact and PathPrefix",
    ok: (path) => path.value === undefined || !literal(path) || !BAD_ESCAPE.test(path.value),
    parserOnly: true,
  },
  {
    rule: "!has(self.type) || self.type != 'RegularExpression' || (has(self.value) && size(self.value) > 0)",
    message: "value is required when type is RegularExpression",
    ok: (path) => literal(path) || (path.value ?? "") !== "",
  },
);

const MatchType = z
  .enum(["Exact", "RegularExpression"])
  .optional()
  .describe("Exact or RegularExpression (RE2, full match). Default: Exact.");

const HeaderMatch = z.strictObject({
  type: MatchType,
  name: HeaderName.describe("Header name, case-insensitive. Of entries with equal names only the first counts."),
  value: HeaderValue.describe("Compared with the header's values joined by a comma."),
});
const QueryParamMatch = z.strictObject({
  type: MatchType,
  name: HeaderName.describe("Parameter name, case-sensitive. A parameter given twice is compared by its first value."),
  value: z.string().min(1).max(1024),
});
const CookieMatch = z.strictObject({
  type: MatchType,
  name: HeaderName.describe("Cookie name, case-sensitive."),
  value: z.string().min(1).max(4096),
});

const GrpcName = z.string().min(1).max(256);

const GrpcMatch = constrain(
  z.strictObject({
    type: MatchType,
    service: GrpcName.optional().describe("Full gRPC service name, for instance shop.Cart."),
    method: GrpcName.optional().describe("gRPC method name."),
  }),
  {
    rule: "has(self.service) || has(self.method)",
    message: "service or method is required",
    ok: (grpc) => grpc.service !== undefined || grpc.method !== undefined,
  },
  {
    rule: "(has(self.type) && self.type == 'RegularExpression') || ((!has(self.service) || self.service.matches('^[A-Za-z_][A-Za-z0-9_.]*$')) && (!has(self.method) || self.method.matches('^[A-Za-z_][A-Za-z0-9_]*$')))",
    message: "service and method must be gRPC names when type is Exact",
    ok: (grpc) =>
      grpc.type === "RegularExpression" ||
      (/^([A-Za-z_][A-Za-z0-9_.]*)?$/.test(grpc.service ?? "") &&
        /^([A-Za-z_][A-Za-z0-9_]*)?$/.test(grpc.method ?? "")),
  },
);

export const RouteMatch = constrain(
  z.strictObject({
    path: PathMatch.optional().describe("Request path. Default: PathPrefix /."),
    method: Method.optional().describe("HTTP method."),
    headers: z.array(HeaderMatch).max(16).optional().meta(listMap).describe("All of these headers must match."),
    queryParams: z.array(QueryParamMatch).max(16).optional().meta(listMap).describe("All of these must match."),
    cookies: z.array(CookieMatch).max(16).optional().meta(listMap).describe("All of these cookies must match."),
    grpc: GrpcMatch.optional().describe("gRPC service and method; excludes path and method in the same match."),
  }),
  {
    rule: "!has(self.grpc) || (!has(self.path) && !has(self.method))",
    message: "grpc excludes path and method in the same match",
    ok: (match) => match.grpc === undefined || (match.path === undefined && match.method === undefined),
  },
);
export type RouteMatch = z.output<typeof RouteMatch>;
