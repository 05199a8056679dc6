import { durationMs } from "../api/primitives.ts";
import type { RouteRule } from "../api/rule.ts";
import type { ClusterPolicy } from "../routing/cluster-policy.ts";

const MS = { interval: 10_000, ejectionTime: 30_000, checkInterval: 5000 } as const;
const CONSECUTIVE_5XX = 5;
/** Envoy's. */
const MAX_EJECTION_PERCENT = 10;
const MAX_PENDING = 1024;
const SHORTEST_CHECK_MS = 100;
const NO_LIMIT = Number.MAX_SAFE_INTEGER;
const NONE: ClusterPolicy = Object.freeze({});

const orMs = (duration: string | undefined, otherwise: number): number =>
  duration === undefined ? otherwise : durationMs(duration) || otherwise;

/** Health and breakers of a rule's backends. */
export function clusterPolicyOf({ healthCheck, circuitBreaker }: RouteRule): ClusterPolicy {
  if (healthCheck === undefined && circuitBreaker === undefined) return NONE;
  const { passive, active } = healthCheck ?? {};
  return {
    ...(passive === undefined
      ? {}
      : {
          passive: {
            consecutive5xx: passive.consecutive5xx ?? CONSECUTIVE_5XX,
            intervalMs: orMs(passive.interval, MS.interval),
            ejectionTimeMs: orMs(passive.ejectionTime, MS.ejectionTime),
            maxEjectionPercent: passive.maxEjectionPercent ?? MAX_EJECTION_PERCENT,
          },
        }),
    ...(active === undefined
      ? {}
      : {
          active: {
            type: active.type,
            path: active.http?.path ?? "/",
            intervalMs: Math.max(orMs(active.interval, MS.checkInterval), SHORTEST_CHECK_MS),
          },
        }),
    ...(circuitBreaker === undefined
      ? {}
      : {
          breaker: {
            maxConnections: circuitBreaker.maxConnections ?? NO_LIMIT,
            maxPendingRequests: circuitBreaker.maxPendingRequests ?? MAX_PENDING,
            maxRequests: circuitBreaker.maxRequests ?? NO_LIMIT,
          },
        }),
  };
}

/** Names the policy: rules with equal ones share their backends' state. Empty for none. */
export function clusterPolicyId({ passive, active, breaker }: ClusterPolicy): string {
  return passive === undefined && active === undefined && breaker === undefined
    ? ""
    : JSON.stringify({ passive, active, breaker });
}
