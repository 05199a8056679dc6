import { createHash } from "node:crypto";
import type { ClusterRef, RulePolicy } from "../../routing/rule.ts";

/** What of a rule's policy Envoy keeps with the backend and not with the route. */
export type BackendPolicy = Pick<RulePolicy, "connectTimeoutMs" | "retry">;

const HASH_LENGTH = 10;

/**
 * The name of the cluster that serves a backend under a policy: the Service's own where nothing is special, so that
 * people find it. Rules of equal policy share it, and with it connections, budgets and health.
 */
export function clusterName(
  { endpoints, state }: ClusterRef,
  { connectTimeoutMs, retry }: BackendPolicy,
  isConnection = false,
): string {
  const budget = retry.connectFailureOnly ? "" : `${retry.budgetPercent}/${retry.budgetMinConcurrent}`;
  const own = state.slice(endpoints.length);
  const all = JSON.stringify([own, connectTimeoutMs, budget, isConnection]);
  if (all === PLAIN) return endpoints;
  return `${endpoints}~${createHash("sha256").update(all).digest("hex").slice(0, HASH_LENGTH)}`;
}

const PLAIN = JSON.stringify(["", 5000, "", false]);

/** A cluster that is never there: what is sent to it is answered 500, and a connection is closed. */
export const NOBODY = "serviceroute-invalid-backend";
