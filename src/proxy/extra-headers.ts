import { ROUTE_HEADER } from "../routing/reasons.ts";
import type { RouteRule } from "../routing/rule.ts";
import { displayName } from "../api/keys.ts";
import { corsHeaders } from "./cors.ts";
import type { GatewayOptions } from "./gateway-context.ts";
import type { GatewayRequest } from "./gateway-request.ts";

/** What the gateway adds to every answer to a request that a rule takes, whoever made the answer. */
export function extraHeaders(
  options: Pick<GatewayOptions, "showRoute">,
  request: GatewayRequest,
  rule: RouteRule,
): (readonly [string, string])[] {
  const { filters } = rule;
  const cors = filters.cors === undefined ? [] : corsHeaders(filters.cors, request);
  return [...cors, ...routeHeader(options, rule)];
}

/** Which rule has taken a request, where the operator wants that told. */
export function routeHeader(
  { showRoute }: Pick<GatewayOptions, "showRoute">,
  { route, name }: RouteRule,
): (readonly [string, string])[] {
  return showRoute ? [[ROUTE_HEADER, `${displayName(route)}/${name}`]] : [];
}
