import { createHmac } from "node:crypto";
import { MIRRORED_BY } from "../routing/reasons.ts";
import type { Mirror } from "../routing/rule.ts";
import type { AnswerSink, Attempt } from "./upstream/attempt.ts";
import type { Forwarding } from "./forwarding.ts";
import type { GatewayContext } from "./gateway-context.ts";
import { backendHeaders } from "./headers.ts";
import type { RequestBody } from "./request-body.ts";

const makersOf = ({ request }: Forwarding): readonly string[] => request.header(MIRRORED_BY)?.split(",") ?? [];

/** Our name on the copies of one request: whoever reads it on a copy of theirs passes no mirror of another host by it. */
const nameOn = ({ request, facts }: Forwarding, { identity }: GatewayContext): string =>
  createHmac("sha256", identity).update(`${facts.requestId} ${request.host}`).digest("base64url");

const MIRROR_TIMEOUT_MS = 10_000;

/** The answer of a mirror is read, so that its connection can be used again, and forgotten. */
const IGNORE: AnswerSink = {
  start: () => undefined,
  data: () => true,
  end: () => undefined,
  upgraded: (_headers, socket) => void socket.destroy(),
  failed: () => undefined,
};

/**
 * Sends copies. A request with a body is copied once the body has come in whole and only if it is small enough to be
 * kept (64 KiB), so that a mirror can never slow the request that it copies. Copies beyond what a backend may have on
 * its way at a time are left out.
 */
export function sendMirrors(
  context: GatewayContext,
  parts: Forwarding,
  mirrors: readonly Mirror[],
  body: RequestBody | undefined,
): void {
  if (mirrors.length === 0 || makersOf(parts).includes(nameOn(parts, context))) return;
  const chosen = mirrors.filter(({ share }) => share > 0 && context.random() < share);
  if (chosen.length === 0 || parts.downstream.upgrade !== undefined) return;
  if (body === undefined) for (const mirror of chosen) sendCopy(context, parts, mirror, null);
  else
    parts.downstream.body.once("end", () =>
      setImmediate(() => {
        const whole = body.whole;
        if (whole !== undefined) for (const mirror of chosen) sendCopy(context, parts, mirror, whole);
      }),
    );
}

function sendCopy(context: GatewayContext, parts: Forwarding, { backend }: Mirror, body: Buffer | null): void {
  if (backend.kind === "invalid") return;
  const { request, entry } = parts;
  const cluster = context.clusters.get(backend);
  const endpoints = context.table.endpoints.get(backend.endpoints);
  const host = cluster.pick(endpoints);
  if (host === undefined || !cluster.beginMirror()) return;
  // Before rewrites and header changes, as the order of work has it.
  const makers = [...makersOf(parts), nameOn(parts, context)].join(",");
  const headers = backendHeaders(request, request.authority, { marks: [[MIRRORED_BY, makers]] });
  const call = {
    method: request.method,
    path: `${request.path}${request.search}`,
    headers,
    body,
    trailers: () => [],
    upgrade: undefined,
  };
  const copy: { over: boolean; attempt?: Attempt } = { over: false };
  const timer = setTimeout(() => copy.attempt?.abandon("BackendTimeout"), MIRROR_TIMEOUT_MS);
  copy.attempt = host.pool.send(call, IGNORE, entry.rule.policy.connectTimeoutMs, () => {
    copy.over = true;
    clearTimeout(timer);
    cluster.endMirror();
    if (copy.attempt !== undefined) context.mirrors.delete(copy.attempt);
  });
  if (!copy.over) context.mirrors.add(copy.attempt);
}
