import { type MessageInitShape, create } from "@bufbuild/protobuf";
import type { RuntimeFractionalPercentSchema } from "../generated/envoy/config/core/v3/base_pb.js";
import {
  type HeaderMatcherSchema,
  type RouteMatch,
  RouteMatchSchema,
} from "../generated/envoy/config/route/v3/route_components_pb.js";
import type { PathMatch, RequestMatch } from "../../routing/rule.ts";
import { type StringMatcherInit, exactly, fully, stringMatch } from "./strings.ts";

type PathSpecifier = NonNullable<MessageInitShape<typeof RouteMatchSchema>["pathSpecifier"]>;
export type FractionInit = MessageInitShape<typeof RuntimeFractionalPercentSchema>;
export type HeaderMatchInit = MessageInitShape<typeof HeaderMatcherSchema>;

function pathSpecifier(path: PathMatch): PathSpecifier {
  switch (path.kind) {
    case "exact":
      return { case: "path", value: path.value };
    case "prefix":
      return path.value === "" ? { case: "prefix", value: "/" } : { case: "pathSeparatedPrefix", value: path.value };
    case "regex":
      return { case: "safeRegex", value: { regex: path.regex.source } };
    default:
      return path satisfies never;
  }
}

const LARGEST = 2n ** 63n - 1n;

const header = (name: string, value: StringMatcherInit): HeaderMatchInit => ({
  name,
  headerMatchSpecifier: { case: "stringMatch", value },
});

/** What a header must be. */
export const headerIs = (name: string, value: string): HeaderMatchInit => header(name, exactly(value));

/** What all of a header must fit. */
export const headerFits = (name: string, pattern: string): HeaderMatchInit => header(name, fully(pattern));

/** What a header must hold somewhere. */
export const headerContains = (name: string, value: string): HeaderMatchInit =>
  header(name, { matchPattern: { case: "contains", value } });

/** A number that is larger than this. */
export const headerOver = (name: string, limit: number): HeaderMatchInit => ({
  name,
  headerMatchSpecifier: { case: "rangeMatch", value: { start: BigInt(limit) + 1n, end: LARGEST } },
});

/**
 * @param more      Of headers, besides those of the match.
 * @param fraction  Of the requests that fit.
 */
export function routeMatch(
  match: RequestMatch,
  more: readonly HeaderMatchInit[],
  fraction: FractionInit | undefined,
): RouteMatch {
  const method = match.method === undefined ? [] : [headerIs(":method", match.method)];
  return create(RouteMatchSchema, {
    pathSpecifier: pathSpecifier(match.path),
    headers: [...method, ...match.headers.map((one) => header(one.name, stringMatch(one))), ...more],
    queryParameters: match.queryParams.map((one) => ({
      name: one.name,
      queryParameterMatchSpecifier: { case: "stringMatch" as const, value: stringMatch(one) },
    })),
    cookies: match.cookies.map((one) => ({ name: one.name, stringMatch: stringMatch(one) })),
    ...(fraction === undefined ? {} : { runtimeFraction: fraction }),
  });
}
