import type { RouteTable } from "../../routing/routing-table.ts";
import { type ClusterRef, type RouteRule, receiversOf } from "../../routing/rule.ts";
import { clusterOf } from "./cluster.ts";
import { type BackendPolicy, clusterName } from "./cluster-name.ts";
import type { Resource } from "./resource.ts";

export interface ClusterUse {
  readonly name: string;
  readonly ref: ClusterRef;
  readonly policy: BackendPolicy;
}

function refsOf({ action, filters }: RouteRule): readonly ClusterRef[] {
  if (action.kind !== "forward") return [];
  const receivers = receiversOf(action);
  const mirrors = [filters, ...receivers.map((receiver) => receiver.filters)].flatMap((one) => one.mirrors);
  return [...receivers.map(({ target }) => target), ...mirrors.map(({ backend }) => backend)].filter(
    (target) => target.kind === "cluster",
  );
}

/** The clusters that a rule's requests may go to. */
export const usesOfRule = (rule: RouteRule): readonly ClusterUse[] =>
  refsOf(rule).map((ref) => ({ name: clusterName(ref, rule.policy), ref, policy: rule.policy }));

/** By name. */
export function usesOfRoute(route: RouteTable | undefined): ReadonlyMap<string, ClusterUse> {
  const rules = new Set(route?.entries.map(({ rule }) => rule));
  return new Map([...rules].flatMap(usesOfRule).map((use) => [use.name, use]));
}

/** Clusters are made once for all gateways. */
export class ClusterCache {
  readonly #made = new WeakMap<ClusterRef, Map<string, Resource>>();

  resource({ ref, name, policy }: ClusterUse): Resource {
    let byName = this.#made.get(ref);
    if (byName === undefined) this.#made.set(ref, (byName = new Map<string, Resource>()));
    let resource = byName.get(name);
    if (resource === undefined) byName.set(name, (resource = clusterOf(ref, policy)));
    return resource;
  }
}
