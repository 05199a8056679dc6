import { effectiveWeights } from "../../routing/backend-choice.ts";
import { type ClusterRef, type Filters, type RuleAction, type WeightedBackend } from "../../routing/rule.ts";
import type { EndpointLookup } from "../options.ts";

/** A part of a rule's requests. */
export interface Share {
  readonly weight: number;
  /** undefined: an invalid reference, answered 500. */
  readonly cluster: ClusterRef | undefined;
  readonly filters: Filters;
}

type Forward = Extract<RuleAction, { kind: "forward" }>;

const hasNone = ({ target }: WeightedBackend, lookup: EndpointLookup): boolean =>
  target.kind === "cluster" && (lookup(target.endpoints)?.usable.length ?? 0) === 0;

/** Whether its shares depend on who has endpoints at the moment. */
export const followsEndpoints = ({ redistribute, fallback }: Forward): boolean =>
  redistribute || fallback !== undefined;

/** Who gets how much now. A share that nobody could serve goes to the fallback, if there is one. */
export function sharesOf({ backends, redistribute, fallback }: Forward, lookup: EndpointLookup): readonly Share[] {
  const weights = effectiveWeights(backends, redistribute, lookup);
  return backends.flatMap((backend, i) => {
    const weight = weights[i] ?? 0;
    if (weight === 0) return [];
    const given = fallback !== undefined && hasNone(backend, lookup) && !hasNone(fallback, lookup) ? fallback : backend;
    const { target, filters } = given;
    return [{ weight, filters, cluster: target.kind === "cluster" ? target : undefined }];
  });
}
