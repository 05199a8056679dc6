import type { RouteRule } from "../routing/rule.ts";
import { displayName } from "../api/keys.ts";
import { corsHeaders } from "./cors.ts";
import type { GatewayOptions } from "./gateway-context.ts";
import type { GatewayRequest } from "./gateway-request.ts";
import { ROUTE_HEADER } from "./headers.ts";

/** What the gateway adds to every answer to a request that a rule takes, whoever made the answer. */
export function extraHeaders(
  { showRoute }: Pick<GatewayOptions, "showRoute">,
  request: GatewayRequest,
  { filters, route, name }: RouteRule,
): (readonly [string, string])[] {
  const cors = filters.cors === undefined ? [] : corsHeaders(filters.cors, request);
  return showRoute ? [...cors, [ROUTE_HEADER, `${displayName(route)}/${name}`]] : cors;
}
