import type { MessageInitShape } from "@bufbuild/protobuf";
import { BodySizeLimitSchema } from "../generated/envoy/extensions/filters/http/body_size_limit/v3/body_size_limit_pb.js";
import { RouteSchema } from "../generated/envoy/config/route/v3/route_components_pb.js";
import { displayName } from "../../api/keys.ts";
import type { MatchEntry } from "../../routing/precedence.ts";
import { ROUTE_HEADER } from "../../routing/reasons.ts";
import type { RouteRule } from "../../routing/rule.ts";
import type { EndpointLookup, ProxyOptions } from "../options.ts";
import { type CorsVariant, corsVariants } from "./cors-variants.ts";
import { BODY_SIZE_LIMIT } from "./filter-names.ts";
import { forwardParts } from "./forward.ts";
import { type HeaderOptionInit, headerChanges, setHeader } from "./header-changes.ts";
import { failure, textBody } from "./local-answer.ts";
import { type RedirectPlace, redirectAction } from "./redirect.ts";
import { encoded } from "./resource.ts";
import { MOST_KEPT_BYTES } from "./retry.ts";
import { type FractionInit, routeMatch } from "./route-match.ts";
import { packed } from "./typed.ts";

export interface RouteContext {
  readonly place: RedirectPlace;
  readonly options: ProxyOptions;
  readonly lookup: EndpointLookup;
}

type RouteInit = MessageInitShape<typeof RouteSchema>;
interface Part {
  readonly action: NonNullable<RouteInit["action"]>;
  /** Of the requests; undefined: all that are left. */
  readonly fraction?: FractionInit | undefined;
  readonly headers?: readonly HeaderOptionInit[];
}

const EVERYTHING: CorsVariant = { headers: [], answer: [], isPreflight: false };

/** What a rule does with a request, as one route of Envoy's or several. */
function partsOf({ rule, match }: MatchEntry, { place, options, lookup }: RouteContext): readonly Part[] {
  const { action } = rule;
  switch (action.kind) {
    case "forward":
      return forwardParts({ ...rule, action }, match.path, lookup).map((part) => ({
        fraction: part.fraction,
        action: { case: "route", value: part.action },
      }));
    case "redirect":
      return [{ action: { case: "redirect", value: redirectAction(action.redirect, match.path, place) } }];
    case "respond": {
      const { statusCode, body, contentType } = action;
      const headers = contentType === "" ? [] : [setHeader("content-type", contentType)];
      return [{ action: { case: "directResponse", value: textBody(statusCode, body) }, headers }];
    }
    case "fail": {
      const { directResponse, headers } = failure(action.reason, options);
      return [{ action: { case: "directResponse", value: directResponse }, headers }];
    }
    default:
      return action satisfies never;
  }
}

/** People find a route by it in statistics and logs. No index is in it: it would change with rules that it says nothing of. */
function nameOf({ route, name }: RouteRule): string {
  return name.startsWith("rules[") ? displayName(route) : `${displayName(route)}/${name}`;
}

function perFilterConfig({ policy: { maxRequestBody } }: RouteRule): NonNullable<RouteInit["typedPerFilterConfig"]> {
  if (maxRequestBody === 0) return {};
  return { [BODY_SIZE_LIMIT]: packed(BodySizeLimitSchema, { maxRequestBytes: BigInt(maxRequestBody) }) };
}

function routeOf(entry: MatchEntry, variant: CorsVariant, part: Part, { options }: RouteContext): RouteInit {
  const { rule, match } = entry;
  const [request, response] = [headerChanges(rule.filters.requestHeaders), headerChanges(rule.filters.responseHeaders)];
  const named = options.showRoute ? [setHeader(ROUTE_HEADER, `${displayName(rule.route)}/${rule.name}`)] : [];
  const own = variant.isPreflight ? [] : [...(part.headers ?? []), ...response.toAdd];
  return {
    name: nameOf(rule),
    match: routeMatch(match, variant.headers, part.fraction),
    action: part.action,
    requestHeadersToAdd: request.toAdd,
    requestHeadersToRemove: request.toRemove,
    responseHeadersToAdd: [...own, ...variant.answer, ...named],
    responseHeadersToRemove: variant.isPreflight ? [] : response.toRemove,
    requestBodyBufferLimit: BigInt(MOST_KEPT_BYTES),
    typedPerFilterConfig: perFilterConfig(rule),
  };
}

const PREFLIGHT: Part = { action: { case: "directResponse", value: { status: 204 } } };

/** A preflight is one question, however the requests after it are shared out; a match by another method has none. */
function partsFor(variant: CorsVariant, { match: { method } }: MatchEntry, parts: readonly Part[]): readonly Part[] {
  if (!variant.isPreflight) return parts;
  return method === undefined || method === "OPTIONS" ? [PREFLIGHT] : [];
}

/** The routes of Envoy's, encoded, that one match comes to, in the order in which they are to be compared. */
export function routesOf(entry: MatchEntry, context: RouteContext): readonly Uint8Array[] {
  const { cors } = entry.rule.filters;
  const variants = cors === undefined ? [EVERYTHING] : corsVariants(cors);
  const parts = partsOf(entry, context);
  return variants.flatMap((variant) =>
    partsFor(variant, entry, parts).map((part) => encoded(RouteSchema, routeOf(entry, variant, part, context))),
  );
}
