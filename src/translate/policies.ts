import { durationMs, quantityBytes } from "../api/primitives.ts";
import type { RouteRule } from "../api/rule.ts";
import type { Algorithm, RetryPolicy, RulePolicy } from "../routing/rule.ts";
import type { EffectiveRule } from "./effective-rule.ts";
import type { Problems } from "./problems.ts";

const DEFAULT_RETRY: RetryPolicy = Object.freeze({
  attempts: 1,
  codes: Object.freeze([]),
  backoffMs: 25,
  connectFailureOnly: true,
  budgetPercent: 20,
  budgetMinConcurrent: 3,
});
const IDLE_MS = 300_000;
const CONNECT_MS = 5000;
export const DEFAULT_POLICY: RulePolicy = Object.freeze({
  requestTimeoutMs: 0,
  backendTimeoutMs: 0,
  idleTimeoutMs: IDLE_MS,
  connectTimeoutMs: CONNECT_MS,
  retry: DEFAULT_RETRY,
  maxRequestBody: 0,
});

/** The longest that a timer of Node runs; it takes anything longer for 1 ms. 24 days are as good as for ever (B38). */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

const orMs = (duration: string | undefined, otherwise: number): number =>
  duration === undefined ? otherwise : Math.min(durationMs(duration), LONGEST_TIMER_MS);

function retryOf(retry: RouteRule["retry"]): RetryPolicy {
  if (retry === undefined) return DEFAULT_RETRY;
  return {
    attempts: retry.attempts ?? 1,
    codes: retry.codes ?? [],
    backoffMs: orMs(retry.backoff, DEFAULT_RETRY.backoffMs),
    connectFailureOnly: false,
    budgetPercent: retry.budget?.percent ?? DEFAULT_RETRY.budgetPercent,
    budgetMinConcurrent: retry.budget?.minConcurrent ?? DEFAULT_RETRY.budgetMinConcurrent,
  };
}

export function policyOf({ timeouts, retry, maxRequestBody }: RouteRule): RulePolicy {
  if (timeouts === undefined && retry === undefined && maxRequestBody === undefined) return DEFAULT_POLICY;
  return {
    requestTimeoutMs: orMs(timeouts?.request, 0),
    backendTimeoutMs: orMs(timeouts?.backendRequest, 0),
    idleTimeoutMs: orMs(timeouts?.idle, IDLE_MS),
    connectTimeoutMs: orMs(timeouts?.connect, CONNECT_MS) || CONNECT_MS,
    retry: retryOf(retry),
    maxRequestBody: maxRequestBody === undefined ? 0 : quantityBytes(maxRequestBody),
  };
}

const SERVED_ALGORITHMS: readonly string[] = ["RoundRobin", "LeastRequest", "Random"];

export function algorithmOf(rule: RouteRule): Algorithm {
  const algorithm = rule.loadBalancing?.algorithm ?? "LeastRequest";
  return SERVED_ALGORITHMS.includes(algorithm) ? (algorithm as Algorithm) : "LeastRequest";
}

/** What of a rule's policies makes its backends' state its own; empty for the defaults. */
export function policyHashOf({ loadBalancing, retry, timeouts }: RouteRule): string {
  const parts: string[] = [];
  const algorithm = loadBalancing?.algorithm ?? "LeastRequest";
  if (algorithm !== "LeastRequest") parts.push(`lb=${algorithm}`);
  const connect = orMs(timeouts?.connect, CONNECT_MS);
  if (connect !== CONNECT_MS) parts.push(`connect=${connect}`);
  if (retry?.budget !== undefined) {
    const { percent = DEFAULT_RETRY.budgetPercent, minConcurrent = DEFAULT_RETRY.budgetMinConcurrent } = retry.budget;
    parts.push(`budget=${percent},${minConcurrent}`);
  }
  return parts.join(";");
}

/** Fields of the schema that no data plane serves yet. They are refused by name, never ignored. */
const UNSERVED = [
  "sessionPersistence",
  "rateLimits",
  "fault",
  "authentication",
  "authorization",
  "compression",
] as const;

/** An empty list asks for nothing. */
const isGiven = (value: unknown): boolean => value !== undefined && !(Array.isArray(value) && value.length === 0);

export function refuseUnserved({ spec, fieldOf }: EffectiveRule, problems: Problems): void {
  for (const name of UNSERVED) {
    if (isGiven(spec[name])) problems.spec(fieldOf(name), `${name} is not served yet`);
  }
  const { algorithm, slowStart, hashOn } = spec.loadBalancing ?? {};
  const at = fieldOf("loadBalancing");
  if (algorithm !== undefined && !SERVED_ALGORITHMS.includes(algorithm))
    problems.spec(`${at}.algorithm`, `${algorithm} is not served yet`);
  if (slowStart !== undefined) problems.spec(`${at}.slowStart`, "slowStart is not served yet");
  if (isGiven(hashOn)) problems.spec(`${at}.hashOn`, "hashOn is not served yet");
}
