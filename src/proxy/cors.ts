import { isPreflight } from "../routing/preflight.ts";
import type { Cors } from "../routing/rule.ts";
import type { GatewayRequest } from "./gateway-request.ts";

type Pairs = (readonly [string, string])[];

function originMatches(pattern: string, origin: string): boolean {
  if (pattern === "*" || pattern === origin) return true;
  const star = pattern.indexOf("*");
  if (star < 0) return false;
  const [head, tail] = [pattern.slice(0, star), pattern.slice(star + 1)];
  return (
    origin.length > head.length + tail.length &&
    origin.startsWith(head) &&
    origin.endsWith(tail) &&
    !origin.slice(head.length, origin.length - tail.length).includes("/")
  );
}

const isAllowed = (cors: Cors, origin: string): boolean =>
  cors.allowOrigins.some((pattern) => originMatches(pattern, origin.toLowerCase()));

/** With credentials a browser takes `*` literally, so what it asked for is said back to it instead. */
function listed(values: readonly string[], asked: string | undefined, credentials: boolean): string | undefined {
  if (values.length === 0) return undefined;
  if (!values.includes("*")) return values.join(", ");
  return credentials ? asked : "*";
}

/**
 * Headers that an answer carries where cross-origin requests are allowed. For an origin that is not, or for none, only
 * that the answer depends on it: a cache must not give it to one that is.
 */
export function corsHeaders(cors: Cors, request: GatewayRequest): Pairs {
  const origin = request.header("origin");
  const any = cors.allowOrigins.includes("*") && !cors.allowCredentials;
  if (origin === undefined || !isAllowed(cors, origin)) return any ? [] : [["vary", "origin"]];
  const pairs: Pairs = [["access-control-allow-origin", any ? "*" : origin]];
  if (cors.allowCredentials) pairs.push(["access-control-allow-credentials", "true"]);
  if (!isPreflight(request) && cors.exposeHeaders.length > 0)
    pairs.push(["access-control-expose-headers", cors.exposeHeaders.join(", ")]);
  if (!any) pairs.push(["vary", "origin"]);
  return pairs;
}

/** The answer to a preflight: 204, with what is allowed only for an origin that is. @source Fetch, CORS-preflight. */
export function preflightHeaders(cors: Cors, request: GatewayRequest): Pairs {
  const pairs = corsHeaders(cors, request);
  if (!pairs.some(([name]) => name === "access-control-allow-origin")) return pairs;
  const methods = listed(cors.allowMethods, request.header("access-control-request-method"), cors.allowCredentials);
  const headers = listed(cors.allowHeaders, request.header("access-control-request-headers"), cors.allowCredentials);
  if (methods !== undefined) pairs.push(["access-control-allow-methods", methods]);
  if (headers !== undefined) pairs.push(["access-control-allow-headers", headers]);
  pairs.push(["access-control-max-age", String(cors.maxAge)]);
  return pairs;
}
