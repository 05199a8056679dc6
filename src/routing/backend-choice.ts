import type { EndpointSet, EndpointsKey } from "./endpoints.ts";
import type { WeightedBackend } from "./rule.ts";

/**
 * Choose one entry, weighted.
 *
 * @param weights  Each an integer in [0, 1e6].
 * @param unit     Uniform in [0, 1). Passed in, so a test is exact and needs no seed.
 * @returns        Index; -1 when all weights are 0.
 * @source         Gateway API v1 BackendRef.weight: proportion = weight / (sum of all weights).
 */
export function pickWeighted(weights: readonly number[], unit: number): number {
  let left = unit * weights.reduce((sum, weight) => sum + weight, 0);
  return weights.findIndex((weight) => (left -= weight) < 0);
}

export type EndpointLookup = (key: EndpointsKey) => EndpointSet | undefined;

const usable = ({ target }: WeightedBackend, lookup: EndpointLookup): boolean =>
  target.kind === "cluster" && (lookup(target.endpoints)?.usable.length ?? 0) > 0;

/**
 * The weight that each backend has at this moment. With redistribution a valid backend without usable endpoints gives
 * its share to the others in proportion; an invalid reference keeps its share of 500s.
 *
 * @returns As many numbers as backends. When nobody is left to redistribute to, each keeps what it had: 503 for its share.
 */
export function effectiveWeights(
  backends: readonly WeightedBackend[],
  redistribute: boolean,
  lookup: EndpointLookup,
): readonly number[] {
  const takes = (b: WeightedBackend): boolean => b.weight > 0 && usable(b, lookup);
  if (!redistribute || !backends.some(takes)) return backends.map((b) => b.weight);
  return backends.map((b) => (b.target.kind === "invalid" || usable(b, lookup) ? b.weight : 0));
}

export type Choice =
  | { readonly kind: "backend"; readonly backend: WeightedBackend; readonly index: number }
  | { readonly kind: "none"; readonly reason: "NoBackends" };

/** The backend that serves one request. */
export function chooseBackend(
  backends: readonly WeightedBackend[],
  redistribute: boolean,
  lookup: EndpointLookup,
  unit: number,
): Choice {
  const [only] = backends;
  if (backends.length === 1 && only !== undefined && only.weight > 0)
    return { kind: "backend", backend: only, index: 0 };
  const index = pickWeighted(effectiveWeights(backends, redistribute, lookup), unit);
  const backend = backends[index];
  return backend === undefined ? { kind: "none", reason: "NoBackends" } : { kind: "backend", backend, index };
}

/**
 * Whole percentages of `weights` that add up to 100, by largest remainder (earlier entries first among equals);
 * all 0 when the weights are.
 */
export function sharePercents(weights: readonly number[]): readonly number[] {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  if (sum === 0) return weights.map(() => 0);
  const exact = weights.map((weight) => (weight * 100) / sum);
  const floors = exact.map(Math.floor);
  const missing = 100 - floors.reduce((total, share) => total + share, 0);
  const byRemainder = exact.map((share, i) => ({ i, rest: share - Math.floor(share) })).sort((a, b) => b.rest - a.rest);
  for (const { i } of byRemainder.slice(0, missing)) floors[i] = (floors[i] ?? 0) + 1;
  return floors;
}
