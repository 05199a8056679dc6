import { type ExplainRequest } from "../routing/explain.ts";
import { hostOf } from "../routing/hostname.ts";
import { normalisePath } from "../routing/request-path.ts";
import { CommandError } from "./exit.ts";

const URL_PARTS = /^(https?):\/\/([^/?#]+)([^?#]*)(\?[^#]*)?$/;

function cookieOf(headers: ReadonlyMap<string, string>, name: string): string | undefined {
  for (const pair of (headers.get("cookie") ?? "").split(";")) {
    const equals = pair.indexOf("=");
    if (pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim();
  }
  return undefined;
}

function parseHeaders(lines: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon < 1) throw new CommandError(`"${line}" is no header; write 'name: value'`, 2);
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers.set(name, headers.has(name) ? `${headers.get(name) ?? ""},${value}` : value);
  }
  return headers;
}

/**
 * A request as `explain METHOD URL -H 'k: v'` describes it.
 *
 * @throws CommandError when the URL or a header is none.
 */
export function explainRequest(method: string, url: string, headerLines: readonly string[]): ExplainRequest {
  const parts = URL_PARTS.exec(url);
  const host = parts === null ? undefined : hostOf(parts[2] ?? "");
  if (parts === null || host === undefined)
    throw new CommandError(`"${url}" is no URL; write it whole, such as http://shop.example.com/cart`, 2);
  const path = normalisePath(parts[3] === "" ? "/" : (parts[3] ?? "/"));
  if (!path.ok) throw new CommandError(`the gateway answers 400: the path has ${path.problem}`);
  const headers = parseHeaders(headerLines);
  const params = new URLSearchParams(parts[4] ?? "");
  return {
    method: method.toUpperCase(),
    path: path.path,
    scheme: parts[1] === "https" ? "https" : "http",
    ...(host.port === undefined ? {} : { port: host.port }),
    host: host.host,
    header: (name) => headers.get(name),
    cookie: (name) => cookieOf(headers, name),
    query: (name) => params.get(name) ?? undefined,
  };
}
