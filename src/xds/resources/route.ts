import type { MessageInitShape } from "@bufbuild/protobuf";
import { RouteSchema } from "../generated/envoy/config/route/v3/route_components_pb.js";
import { displayName } from "../../api/keys.ts";
import type { MatchEntry } from "../../routing/precedence.ts";
import { ROUTE_HEADER } from "../../routing/reasons.ts";
import type { RouteRule } from "../../routing/rule.ts";
import type { EndpointLookup, ProxyOptions } from "../options.ts";
import { changesByBackend, forwardParts } from "./forward.ts";
import { type HeaderOptionInit, headerChanges, setHeader } from "./header-changes.ts";
import { failure, textBody } from "./local-answer.ts";
import { type RedirectPlace, redirectAction } from "./redirect.ts";
import { encoded } from "./resource.ts";
import { MOST_KEPT_BYTES } from "./retry.ts";
import { type FractionInit, routeMatch } from "./route-match.ts";
import { type Variant, variantsOf } from "./route-variants.ts";

export interface RouteContext {
  readonly place: RedirectPlace & {
    /** What copies of the hostname's requests carry. */
    readonly mark: string;
  };
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

/** What a rule does with requests of a kind, as one route of Envoy's or several. */
function partsOf(
  { rule, match }: MatchEntry,
  variant: Variant,
  { place, options, lookup }: RouteContext,
): readonly Part[] {
  if (variant.instead !== undefined) return [{ action: variant.instead }];
  const { action } = rule;
  switch (action.kind) {
    case "forward": {
      const mark = variant.isCopy === true ? undefined : place.mark;
      return forwardParts({ rule: { ...rule, action }, match: match.path, mark }, lookup).map((part) => ({
        fraction: part.fraction,
        action: { case: "route", value: part.action },
      }));
    }
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

/** gRPC servers refuse clients that do not say that they read trailers. */
function speaksHttp2({ action }: RouteRule): boolean {
  return (
    action.kind === "forward" && action.backends.every(({ target }) => target.kind === "invalid" || target.http === "2")
  );
}

function routeOf(entry: MatchEntry, variant: Variant, part: Part, { options }: RouteContext): RouteInit {
  const { rule, match } = entry;
  const { action, filters } = rule;
  const byBackend = action.kind === "forward" && changesByBackend({ ...rule, action });
  const request = headerChanges(byBackend ? undefined : filters.requestHeaders);
  const response = headerChanges(filters.responseHeaders);
  const named = options.showRoute ? [setHeader(ROUTE_HEADER, `${displayName(rule.route)}/${rule.name}`)] : [];
  const changes = variant.isPreflight === true ? { toAdd: [], toRemove: [] } : response;
  const te = speaksHttp2(rule) ? [setHeader("te", "trailers")] : [];
  return {
    name: nameOf(rule),
    match: routeMatch(match, variant.headers, part.fraction),
    action: part.action,
    requestHeadersToAdd: [...te, ...request.toAdd],
    requestHeadersToRemove: request.toRemove,
    responseHeadersToAdd: [...(part.headers ?? []), ...changes.toAdd, ...variant.answer, ...named],
    responseHeadersToRemove: changes.toRemove,
    requestBodyBufferLimit: BigInt(MOST_KEPT_BYTES),
  };
}

/** The routes of Envoy's, encoded, that one match comes to, in the order in which they are to be compared. */
export function routesOf(entry: MatchEntry, context: RouteContext): readonly Uint8Array[] {
  return variantsOf(entry, context.place.mark, context.options).flatMap((variant) =>
    partsOf(entry, variant, context).map((part) => encoded(RouteSchema, routeOf(entry, variant, part, context))),
  );
}
