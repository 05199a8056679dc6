import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type RedirectActionSchema,
  RedirectAction_RedirectResponseCode as Code,
} from "../generated/envoy/config/route/v3/route_components_pb.js";
import { ANY_HOST } from "../../routing/hostname.ts";
import type { PathMatch, Redirect } from "../../routing/rule.ts";
import { pathChange } from "./path-change.ts";

const CODES = new Map([
  [301, Code.MOVED_PERMANENTLY],
  [302, Code.FOUND],
  [303, Code.SEE_OTHER],
  [307, Code.TEMPORARY_REDIRECT],
  [308, Code.PERMANENT_REDIRECT],
]);
const WELL_KNOWN = { http: 80, https: 443 } as const;

/** Where a redirect is answered. */
export interface RedirectPlace {
  readonly scheme: "http" | "https";
  readonly hostname: string;
  /** The port that clients know. */
  readonly port: number;
}

const isOneHost = (hostname: string): boolean => hostname !== ANY_HOST && !hostname.startsWith("*");

/**
 * The port is said in any case, unless it is the scheme's own: what a client's Host says of it may be another gateway's.
 *
 * @source Gateway API v1 HTTPRequestRedirectFilter.port.
 */
export function redirectAction(
  redirect: Redirect,
  match: PathMatch,
  place: RedirectPlace,
): MessageInitShape<typeof RedirectActionSchema> {
  const scheme = redirect.scheme ?? place.scheme;
  const port = redirect.port ?? (redirect.scheme === undefined ? place.port : WELL_KNOWN[scheme]);
  const host = redirect.hostname ?? (isOneHost(place.hostname) ? place.hostname : "");
  return {
    responseCode: CODES.get(redirect.statusCode) ?? Code.FOUND,
    schemeRewriteSpecifier: { case: "schemeRedirect", value: scheme },
    hostRedirect: host,
    // Without a host of its own, a redirect would keep the port that the client said.
    portRedirect: port === WELL_KNOWN[scheme] && host !== "" ? 0 : port,
    ...(redirect.path === undefined
      ? {}
      : { pathRewriteSpecifier: { case: "regexRewrite", value: pathChange(redirect.path, match) } }),
  };
}
