import { type ExplainRequest } from "../routing/explain.ts";
import { ANY_HOST, hostOf } from "../routing/hostname.ts";
import { normalisePath } from "../routing/request-path.ts";
import { forwarded } from "../proxy/forwarded-request.ts";
import { GatewayRequest } from "../proxy/gateway-request.ts";
import { CommandError } from "./exit.ts";

const URL_PARTS = /^(https?):\/\/([^/?#]+)([^?#]*)(\?[^#]*)?$/;

function parseHeaders(lines: readonly string[]): Map<string, readonly string[]> {
  const headers = new Map<string, string[]>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon < 1) throw new CommandError(`"${line}" is no header; write 'name: value'`, 2);
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers.set(name, [...(headers.get(name) ?? []), value]);
  }
  return headers;
}

/** Whose request it is meant to be is not said. */
const PEER = "127.0.0.1";

const CONNECTION = /^(tcp|tls|udp)$/i;
const ADDRESS = /^(?:([a-z]+):\/\/)?([^/?#]*)\/?$/i;

/** What is no request: told apart by the name that a TLS client says, and by its port. */
function explainConnection(kind: string, address: string, gateway: string | undefined): ExplainRequest {
  const said = ADDRESS.exec(address)?.[2];
  const found = said === undefined ? undefined : hostOf(said.startsWith(":") ? `any${said}` : said);
  if (found === undefined)
    throw new CommandError(`"${address}" is no address; write host:port, such as db.example.com:5432, or :5432`, 2);
  const scheme = kind.toLowerCase() as "tcp" | "tls" | "udp";
  const host = scheme === "tls" && said?.startsWith(":") === false ? found.host : ANY_HOST;
  const nothing = { method: "", path: "/", query: "", authority: "", host, headers: new Map<string, string[]>() };
  return Object.assign(new GatewayRequest(nothing), {
    scheme,
    ...(found.port === undefined ? {} : { port: found.port }),
    ...onGateway(gateway),
  });
}

export interface ExplainOptions {
  /** `namespace/name`, or `builtin`; undefined: any. */
  readonly gateway?: string | undefined;
  /** It comes from a proxy that the gateway trusts. */
  readonly isProxy?: boolean;
}

const onGateway = (gateway: string | undefined): { readonly gateway?: string } =>
  gateway === undefined ? {} : { gateway: gateway === "builtin" ? "/builtin" : gateway };

/**
 * A request as `explain METHOD URL -H 'k: v'` describes it, read as the gateway would read it.
 *
 * @throws CommandError when the URL or a header is none.
 */
export function explainRequest(
  method: string,
  url: string,
  headerLines: readonly string[],
  { gateway, isProxy = false }: ExplainOptions = {},
): ExplainRequest {
  if (CONNECTION.test(method)) return explainConnection(method, url, gateway);
  const parts = URL_PARTS.exec(url);
  const host = parts === null ? undefined : hostOf(parts[2] ?? "");
  if (parts === null || host === undefined)
    throw new CommandError(`"${url}" is no URL; write it whole, such as http://shop.example.com/cart`, 2);
  const path = normalisePath(parts[3] === "" ? "/" : (parts[3] ?? "/"));
  if (!path.ok) throw new CommandError(`the gateway answers 400: the path has ${path.problem}`);
  const scheme: "http" | "https" = parts[1] === "https" ? "https" : "http";
  const asked = new GatewayRequest({
    method: method.toUpperCase(),
    path: path.path,
    query: parts[4] ?? "",
    authority: parts[2] ?? "",
    host: host.host,
    headers: parseHeaders(headerLines),
  });
  const trustedProxies = { kind: "hops", hops: isProxy ? 1 : 0 } as const;
  const { request } = forwarded({ peer: PEER, via: { scheme } }, asked, { trustedProxies });
  return Object.assign(request, {
    scheme,
    ...(host.port === undefined ? {} : { port: host.port }),
    ...onGateway(gateway),
  });
}
