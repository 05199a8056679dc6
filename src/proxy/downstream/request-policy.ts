import { hostOf } from "../../routing/hostname.ts";
import { normalisePath } from "../../routing/request-path.ts";
import type { ReasonWord } from "../../routing/rule.ts";
import { GatewayRequest } from "../gateway-request.ts";
import type { RequestHead } from "./downstream.ts";
import { type RequestTarget, targetOf } from "./request-target.ts";

/** What becomes of a header whose name has an underscore, which many backends take for a hyphen. */
export const UNDERSCORES = ["reject", "drop", "allow"] as const;
export type Underscores = (typeof UNDERSCORES)[number];

export interface RequestPolicy {
  readonly underscores: Underscores;
}

export type Admission =
  | { readonly ok: true; readonly request: GatewayRequest }
  | { readonly ok: false; readonly status: number; readonly reason: ReasonWord; readonly problem: string };

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY"]);
const NOT_FOR_GATEWAYS = new Set(["TRACE", "CONNECT"]);
const MAX_HEADERS = 100;
const MAX_HEADER_BYTES = 16 * 1024;

/** Of these a backend may believe the first or the last. */
const ONCE = ["host", "authorization", "proxy-authorization", "content-type", "content-length"];
/** A client must not be able to take these from a request by naming them in Connection (B53). */
const END_TO_END = new Set([
  "host",
  "authorization",
  "cookie",
  "content-length",
  "content-type",
  "forwarded",
  "x-real-ip",
  "x-request-id",
]);
const isEndToEnd = (name: string): boolean => END_TO_END.has(name) || name.startsWith("x-forwarded-");

type Headers = Map<string, string[]>;
type Problem = readonly [status: number, problem: string];

/** Headers as they came, names lower-case, repeated values apart. Map, because names are user input. */
function collectHeaders(
  { headers: raw, target, authority = "" }: RequestHead,
  underscores: Underscores,
): Headers | Problem {
  if (raw.length > 2 * MAX_HEADERS) return [431, `more than ${MAX_HEADERS} headers`];
  const size = raw.reduce((sum, text) => sum + text.length, target.length + authority.length);
  if (size > MAX_HEADER_BYTES) return [431, "more than 16 KiB of headers and target"];
  const headers: Headers = new Map();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = (raw[i] ?? "").toLowerCase();
    const value = raw[i + 1] ?? "";
    if (underscores !== "allow" && name.includes("_")) {
      if (underscores === "reject") return [400, "the name of a header has an underscore"];
      continue;
    }
    const values = headers.get(name);
    if (values === undefined) headers.set(name, [value]);
    else values.push(value);
  }
  // @source RFC 9113 section 8.2.3: one form of cookies, whatever they came in.
  const cookies = headers.get("cookie");
  if (cookies !== undefined && cookies.length > 1) headers.set("cookie", [cookies.join("; ")]);
  return headers;
}

function methodProblem(method: string): Problem | undefined {
  if (METHODS.has(method)) return undefined;
  return [NOT_FOR_GATEWAYS.has(method) ? 405 : 400, `method ${method} is not allowed`];
}

function headerProblem(headers: Headers, version: string): Problem | undefined {
  const twice = ONCE.find((name) => (headers.get(name)?.length ?? 0) > 1);
  if (twice !== undefined) return [400, `header ${twice} comes more than once`];
  const listed = (name: string): string[] =>
    (headers.get(name) ?? []).flatMap((line) => line.split(",")).map((item) => item.trim().toLowerCase());
  if (listed("connection").some(isEndToEnd)) return [400, "Connection names a header that is not of one hop"];
  const codings = listed("transfer-encoding");
  if (codings.length > 0 && version === "1.0") return [400, "HTTP/1.0 has no transfer codings"];
  // A coding besides chunked would have to be taken off before the body could be framed anew.
  if (codings.length > 1 || (codings.length === 1 && codings[0] !== "chunked"))
    return [501, "the only transfer coding is chunked"];
  if (listed("expect").some((item) => item !== "100-continue")) return [417, "the only expectation is 100-continue"];
  return undefined;
}

/** @returns undefined when the two places that may say it differ (D42). */
function authorityOf({ authority }: RequestHead, headers: Headers): string | undefined {
  const host = headers.get("host")?.[0];
  if (authority === undefined) return host ?? "";
  headers.set("host", [authority]);
  return host === undefined || host.toLowerCase() === authority.toLowerCase() ? authority : undefined;
}

const isProblem = (found: Headers | Problem | undefined): found is Problem => Array.isArray(found);

/**
 * The request policy: every request passes here before it is matched, and nothing is matched as it came.
 *
 * @source docs/requests.md, row by row.
 */
export function admit(head: RequestHead, scheme: "http" | "https", policy: RequestPolicy): Admission {
  const refuse = ([status, problem]: Problem): Admission => {
    const reason = status === 501 ? "NotImplemented" : "BadRequest";
    return { ok: false, status, reason, problem };
  };
  const { method, target: raw, version, unreadable } = head;
  if (unreadable !== undefined) return refuse([unreadable, "the bytes are no request"]);
  const headers = collectHeaders(head, policy.underscores);
  if (isProblem(headers)) return refuse(headers);
  const problem = methodProblem(method) ?? headerProblem(headers, version);
  if (problem !== undefined) return refuse(problem);
  const authority = authorityOf(head, headers);
  if (authority === undefined) return refuse([400, ":authority and Host name different hosts"]);
  const host = hostOf(authority);
  if (host === undefined) return refuse([400, "exactly one valid Host is required"]);
  const target = targetOf(raw, scheme, authority);
  if (!target.ok) return refuse([400, target.problem]);
  const path = normalisePath(target.path);
  if (!path.ok) return refuse([400, `the path has ${path.problem}`]);
  const { query }: RequestTarget = target;
  return {
    ok: true,
    request: new GatewayRequest({ method, path: path.path, query, authority, host: host.host, headers }),
  };
}
