import { chooseBackend } from "../routing/backend-choice.ts";
import type { ClusterRef, ReasonWord, RuleAction, WeightedBackend } from "../routing/rule.ts";
import type { GatewayContext } from "./gateway-context.ts";
import type { Cluster } from "./upstream/cluster.ts";

export type Receiver =
  | {
      readonly kind: "cluster";
      readonly backend: WeightedBackend;
      readonly target: ClusterRef;
      readonly cluster: Cluster;
    }
  /** `backend` is the one whose share this is, where it was one's. */
  | { readonly kind: "none"; readonly reason: ReasonWord; readonly backend: WeightedBackend | undefined };

/**
 * Who serves one request or connection: a backend by weight, or the fallback when no endpoint of that backend can be
 * asked. An invalid backend keeps its share, and a fallback that is invalid itself stands in for nobody.
 */
export function chooseReceiver(
  { clusters, table, random }: GatewayContext,
  { backends, redistribute, fallback }: Extract<RuleAction, { kind: "forward" }>,
): Receiver {
  const choice = chooseBackend(backends, redistribute, (key) => table.endpoints.get(key), random());
  if (choice.kind === "none") return { kind: "none", reason: choice.reason, backend: undefined };
  const { backend } = choice;
  const { target } = backend;
  if (target.kind === "invalid") return { kind: "none", reason: "InvalidBackend", backend };
  const cluster = clusters.get(target);
  if (fallback?.target.kind !== "cluster" || cluster.hasHealthy(table.endpoints.get(target.endpoints)))
    return { kind: "cluster", backend, target, cluster };
  return { kind: "cluster", backend: fallback, target: fallback.target, cluster: clusters.get(fallback.target) };
}
