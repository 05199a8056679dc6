import type { ReasonWord } from "../routing/rule.ts";
import type { IncomingMessage } from "node:http";
import { hostOf } from "../routing/hostname.ts";
import type { RequestView } from "../routing/match.ts";
import { PatternBudget } from "../routing/pattern-budget.ts";
import { normalisePath } from "../routing/request-path.ts";

/** Headers as they came, names lower-case, repeated values apart. Map, because names are user input. */
function collectHeaders(raw: readonly string[]): Map<string, string[]> {
  const headers = new Map<string, string[]>();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = (raw[i] ?? "").toLowerCase();
    const value = raw[i + 1] ?? "";
    const values = headers.get(name);
    if (values === undefined) headers.set(name, [value]);
    else values.push(value);
  }
  return headers;
}

function decodeComponent(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return text;
  }
}

/** A request that has passed the request policy, as matching and forwarding see it. */
export class GatewayRequest implements RequestView {
  readonly method: string;
  readonly path: string;
  /** With its `?`, or empty. */
  readonly search: string;
  /** The Host header as the client sent it. */
  readonly authority: string;
  /** Lower-case, without port. */
  readonly host: string;
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly patterns = new PatternBudget(() => performance.now());
  #params: ReadonlyMap<string, string> | undefined;
  #cookies: ReadonlyMap<string, string> | undefined;

  constructor(parts: {
    method: string;
    path: string;
    query: string;
    authority: string;
    host: string;
    headers: Map<string, string[]>;
  }) {
    this.method = parts.method;
    this.path = parts.path;
    this.search = parts.query;
    this.authority = parts.authority;
    this.host = parts.host;
    this.headers = parts.headers;
  }

  header(name: string): string | undefined {
    return this.headers.get(name)?.join(",");
  }

  query(name: string): string | undefined {
    if (this.#params === undefined) {
      const params = new Map<string, string>();
      for (const pair of this.search.slice(1).split("&")) {
        const equals = pair.indexOf("=");
        const key = decodeComponent(equals < 0 ? pair : pair.slice(0, equals));
        if (pair !== "" && !params.has(key)) params.set(key, equals < 0 ? "" : decodeComponent(pair.slice(equals + 1)));
      }
      this.#params = params;
    }
    return this.#params.get(name);
  }

  cookie(name: string): string | undefined {
    if (this.#cookies === undefined) {
      const cookies = new Map<string, string>();
      for (const pair of (this.headers.get("cookie") ?? []).flatMap((line) => line.split(";"))) {
        const equals = pair.indexOf("=");
        const key = pair.slice(0, Math.max(equals, 0)).trim();
        if (equals > 0 && !cookies.has(key)) cookies.set(key, pair.slice(equals + 1).trim());
      }
      this.#cookies = cookies;
    }
    return this.#cookies.get(name);
  }
}

export type Admission =
  | { readonly ok: true; readonly request: GatewayRequest }
  | { readonly ok: false; readonly status: number; readonly reason: ReasonWord; readonly problem: string };

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY"]);

/** The place of the request policy: every request passes here before it is matched, and nothing is matched as it came. */
export function admit(incoming: IncomingMessage): Admission {
  const refuse = (status: number, problem: string): Admission => {
    const reason = status === 501 ? "NotImplemented" : "BadRequest";
    return { ok: false, status, reason, problem };
  };
  const method = incoming.method ?? "";
  if (!METHODS.has(method))
    return refuse(method === "TRACE" || method === "CONNECT" ? 405 : 400, `method ${method} is not allowed`);
  const headers = collectHeaders(incoming.rawHeaders);
  // A coding besides chunked would have to be taken off before the body could be framed anew.
  const codings = (headers.get("transfer-encoding") ?? []).join().toLowerCase();
  if (codings !== "" && codings.trim() !== "chunked") return refuse(501, "the only transfer coding is chunked");
  const hosts = headers.get("host") ?? [];
  const [authority = ""] = hosts;
  const host = hostOf(authority);
  if (hosts.length !== 1 || host === undefined) return refuse(400, "exactly one valid Host is required");
  const target = incoming.url ?? "";
  const mark = target.indexOf("?");
  const raw = mark < 0 ? target : target.slice(0, mark);
  const query = mark < 0 ? "" : target.slice(mark);
  const path = normalisePath(raw);
  if (!path.ok) return refuse(400, `the path has ${path.problem}`);
  if (query.includes("#")) return refuse(400, "the target has a fragment");
  return {
    ok: true,
    request: new GatewayRequest({ method, path: path.path, query, authority, host: host.host, headers }),
  };
}
