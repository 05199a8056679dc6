import { validateHeaderName, validateHeaderValue } from "node:http";
import { type ExplainRequest } from "../routing/explain.ts";
import { ANY_HOST, hostOf } from "../routing/hostname.ts";
import { type RequestPolicy, admit } from "../proxy/downstream/request-policy.ts";
import { forwarded } from "../proxy/forwarded-request.ts";
import { DEFAULT_OPTIONS } from "../proxy/gateway-context.ts";
import { GatewayRequest } from "../proxy/gateway-request.ts";
import { CommandError } from "./exit.ts";

const URL_PARTS = /^(https?):\/\/([^/?#]+)([^?#]*)(\?[^#]*)?$/;

/** Name and value, as a parser of HTTP takes them: each byte of UTF-8 is a character. */
function parseHeader(line: string): [name: string, value: string] {
  const colon = line.indexOf(":");
  const name = line.slice(0, Math.max(colon, 0));
  const value = Buffer.from(line.slice(colon + 1).replaceAll(/^[ \t]+|[ \t]+$/g, "")).toString("latin1");
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
  } catch {
    throw new CommandError(`${JSON.stringify(line)} is no header; write 'name: value'`, 2);
  }
  return [name, value];
}

const namesHost = (name: string, i: number): boolean => i % 2 === 0 && name.toLowerCase() === "host";

/** Host is what the URL names, unless a header says another. */
function headersOf(lines: readonly string[], authority: string): readonly string[] {
  const headers = lines.flatMap(parseHeader);
  return headers.some(namesHost) ? headers : ["host", authority, ...headers];
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
  readonly policy?: RequestPolicy;
}

const onGateway = (gateway: string | undefined): { readonly gateway?: string } =>
  gateway === undefined ? {} : { gateway: gateway === "builtin" ? "/builtin" : gateway };

/**
 * A request as `explain METHOD URL -H 'k: v'` describes it, read as the gateway would read it; it has no body, so that
 * its framing is not looked at.
 *
 * @throws CommandError when the URL or a header is none, or the gateway refuses the request whatever its routes.
 */
export function explainRequest(
  method: string,
  url: string,
  headerLines: readonly string[],
  { gateway, isProxy = false, policy = DEFAULT_OPTIONS }: ExplainOptions = {},
): ExplainRequest {
  if (CONNECTION.test(method)) return explainConnection(method, url, gateway);
  const [, protocol, authority = "", path = "", query = ""] = URL_PARTS.exec(url) ?? [];
  const address = hostOf(authority);
  if (address === undefined)
    throw new CommandError(`"${url}" is no URL; write it whole, such as http://shop.example.com/cart`, 2);
  const scheme: "http" | "https" = protocol === "https" ? "https" : "http";
  const headers = headersOf(headerLines, authority);
  const target = `${path === "" ? "/" : path}${query}`;
  const head = { version: "1.1", method: method.toUpperCase(), target, authority: undefined, headers };
  const admitted = admit(head, scheme, policy);
  if (!admitted.ok) throw new CommandError(`the gateway answers ${admitted.status}: ${admitted.problem}`);
  const trustedProxies = { kind: "hops", hops: isProxy ? 1 : 0 } as const;
  const { request } = forwarded({ peer: PEER, via: { scheme } }, admitted.request, { trustedProxies });
  return Object.assign(request, {
    scheme,
    ...(address.port === undefined ? {} : { port: address.port }),
    ...onGateway(gateway),
  });
}
