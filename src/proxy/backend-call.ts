import { PatternLimit } from "../routing/pattern-budget.ts";
import { changedPath } from "../routing/rewrite.ts";
import type { BackendHttp, Rewrite, WeightedBackend } from "../routing/rule.ts";
import type { Forwarding } from "./forwarding.ts";
import type { GrpcWebBridge } from "./grpc-web.ts";
import { backendHeaders, passedTrailers } from "./headers.ts";
import type { RequestBody } from "./request-body.ts";
import type { TryTrace } from "./request-record.ts";
import type { BackendCall } from "./upstream/attempt.ts";

const rewritesOf = ({ entry }: Forwarding, backend: WeightedBackend | undefined): readonly Rewrite[] =>
  [entry.rule.filters.rewrite, backend?.filters.rewrite].filter((rewrite) => rewrite !== undefined);

/** The path as the backend gets it, or why there is none. Made once for a request, however often it is sent. */
export function backendPath(
  parts: Forwarding,
  backend: WeightedBackend | undefined,
): { readonly path: string } | "InvalidRule" | "PatternLimit" {
  const { request, entry } = parts;
  const change = rewritesOf(parts, backend).findLast((rewrite) => rewrite.path !== undefined)?.path;
  if (change === undefined) return { path: request.path };
  try {
    const path = changedPath(request.path, change, entry.match.path, request.patterns);
    return path === undefined ? "InvalidRule" : { path };
  } catch (error) {
    if (error instanceof PatternLimit) return "PatternLimit";
    throw error;
  }
}

/** The request as the backend gets it. */
export function backendCall(
  parts: Forwarding,
  to: {
    readonly path: string;
    readonly backend: WeightedBackend | undefined;
    readonly http: BackendHttp;
    readonly web: GrpcWebBridge | undefined;
    readonly body: RequestBody | undefined;
    readonly trace: TryTrace | undefined;
    readonly allowsTrailer: (name: string) => boolean;
  },
): BackendCall {
  const { request, facts, downstream, entry } = parts;
  const { path, backend, http, web } = to;
  const name = rewritesOf(parts, backend).findLast(({ hostname }) => hostname !== undefined)?.hostname;
  const changes = [entry.rule.filters.requestHeaders, backend?.filters.requestHeaders];
  const headers = backendHeaders(request, name ?? request.authority, { changes, trace: to.trace?.headers ?? [] });
  // gRPC servers refuse clients that do not say so.
  if (http === "2" && facts.takesTrailers) headers.push("te", "trailers");
  const body = to.body === undefined ? null : (to.body.whole ?? to.body.read());
  return {
    method: request.method,
    path: `${path}${request.search}`,
    headers: web?.requestHeaders(headers) ?? headers,
    body: web === undefined ? body : web.requestBody(body),
    trailers: () => passedTrailers(downstream.trailers, changes, to.allowsTrailer),
    upgrade: downstream.upgrade?.protocol,
  };
}
