import { effectiveWeights } from "../../routing/backend-choice.ts";
import type { ClusterRef, Filters, RuleAction } from "../../routing/rule.ts";
import type { EndpointLookup } from "../options.ts";

/** A part of a rule's requests. */
export interface Share {
  readonly weight: number;
  /** undefined: an invalid reference, answered 500. */
  readonly cluster: ClusterRef | undefined;
  readonly filters: Filters;
}

type Forward = Extract<RuleAction, { kind: "forward" }>;

/** Whether its shares depend on who has endpoints at the moment. */
export const followsEndpoints = ({ redistribute }: Forward): boolean => redistribute;

/** Who gets how much now. */
export function sharesOf({ backends, redistribute }: Forward, lookup: EndpointLookup): readonly Share[] {
  const weights = effectiveWeights(backends, redistribute, lookup);
  return backends.flatMap(({ target, filters }, i) => {
    const weight = weights[i] ?? 0;
    return weight === 0 ? [] : [{ weight, filters, cluster: target.kind === "cluster" ? target : undefined }];
  });
}
