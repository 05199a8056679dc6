import type { ClusterRef } from "./rule.ts";

const seconds = (ms: number): string => (ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`);
const orNone = (limit: number): string => (limit === Number.MAX_SAFE_INTEGER ? "no limit" : String(limit));

/** How a backend is spoken to and what watches over it, a line each; nothing of what is plain. */
export function describeCluster({ http, tls, algorithm, policy }: ClusterRef): readonly string[] {
  const { passive, active, breaker } = policy;
  const lines: string[] = [];
  if (http === "2" || tls !== undefined) lines.push(`speaks HTTP/${http}${tls === undefined ? "" : ` over TLS`}`);
  if (tls !== undefined) {
    const names = tls.names.map(({ type, value }) => `${type} ${value}`).join(" or ") || tls.hostname;
    const from = tls.authorities === undefined ? "the system's authorities" : "the policy's authorities";
    lines.push(`must show a certificate for ${names} from ${from}; SNI ${tls.hostname}`);
  }
  if (algorithm !== "LeastRequest") lines.push(`endpoints by ${algorithm}`);
  if (passive !== undefined)
    lines.push(
      `ejects after ${passive.consecutive5xx} failures in a row, for ${seconds(passive.ejectionTimeMs)}, at most ${passive.maxEjectionPercent} % of the endpoints; forgives after each ${seconds(passive.intervalMs)} of quiet`,
    );
  if (active !== undefined)
    lines.push(
      `checked by ${active.type}${active.type === "HTTP" ? ` ${active.path}` : ""} every ${seconds(active.intervalMs)}`,
    );
  if (breaker !== undefined)
    lines.push(
      `at once: connections ${orNone(breaker.maxConnections)}, waiting ${orNone(breaker.maxPendingRequests)}, requests ${orNone(breaker.maxRequests)}`,
    );
  return lines;
}
