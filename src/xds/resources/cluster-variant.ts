import { createHash } from "node:crypto";
import { type ClusterRef, type Filters, type RouteRule, receiversOf } from "../../routing/rule.ts";

/**
 * What of a rule Envoy keeps with the backend and not with the route. Rules of equal kind share the backend's cluster,
 * and with it connections, budgets and health.
 */
export interface ClusterVariant {
  readonly connectTimeoutMs: number;
  /** undefined: nothing is tried again that has been sent, so that nothing needs a budget. */
  readonly budget: { readonly percent: number; readonly minConcurrent: number } | undefined;
  /** Bytes; 0 is no limit. */
  readonly maxRequestBody: number;
  /** Whether a path may have been changed into one that leads elsewhere. */
  readonly checksPath: boolean;
}

const hasPatternRewrite = ({ rewrite }: Filters): boolean => rewrite?.path?.kind === "regex";

export function variantOf({ policy, filters, action }: RouteRule): ClusterVariant {
  const { connectTimeoutMs, maxRequestBody, retry } = policy;
  const receivers = action.kind === "forward" ? receiversOf(action) : [];
  return {
    connectTimeoutMs,
    budget: retry.connectFailureOnly
      ? undefined
      : { percent: retry.budgetPercent, minConcurrent: retry.budgetMinConcurrent },
    maxRequestBody,
    checksPath: [filters, ...receivers.map((receiver) => receiver.filters)].some(hasPatternRewrite),
  };
}

/** Of copies: nobody waits for them, and they are as the request came. */
export const mirrorVariant = (variant: ClusterVariant): ClusterVariant => ({ ...variant, maxRequestBody: 0 });

const HASH_LENGTH = 10;
const shortHash = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, HASH_LENGTH);

const textOf = ({ connectTimeoutMs, budget, maxRequestBody, checksPath }: ClusterVariant): string =>
  JSON.stringify([connectTimeoutMs, budget?.percent, budget?.minConcurrent, maxRequestBody, checksPath]);

const PLAIN = textOf({ connectTimeoutMs: 5000, budget: undefined, maxRequestBody: 0, checksPath: false });

/** The Service's own name where nothing is special, so that people find it. */
export function clusterName({ endpoints, state }: ClusterRef, variant: ClusterVariant): string {
  const text = textOf(variant);
  return state === endpoints && text === PLAIN ? endpoints : `${endpoints}~${shortHash(`${state} ${text}`)}`;
}

/** Of a cluster that stands for one, and for another where that one has nobody. */
export const fallbackName = (name: string, fallback: string): string => `${name}|${fallback}`;

/** A cluster that is never there: what is sent to it is answered 500, and a connection is closed. */
export const NOBODY = "serviceroute-invalid-backend";
