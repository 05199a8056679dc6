import type { RouteTable } from "../../routing/routing-table.ts";
import type { ClusterRef, InvalidRef, RouteRule } from "../../routing/rule.ts";
import { clusterOf, fallbackCluster } from "./cluster.ts";
import { type ClusterVariant, clusterName, fallbackName, mirrorVariant, variantOf } from "./cluster-variant.ts";
import type { Resource } from "./resource.ts";

export type ClusterUse = { readonly name: string } & (
  | { readonly kind: "service"; readonly ref: ClusterRef; readonly variant: ClusterVariant }
  /** One cluster, and another where that one has nobody. */
  | { readonly kind: "fallback"; readonly ref: ClusterRef; readonly first: string; readonly second: string }
);

function serviceUse(target: ClusterRef | InvalidRef, variant: ClusterVariant): ClusterUse[] {
  return target.kind === "invalid"
    ? []
    : [{ kind: "service", name: clusterName(target, variant), ref: target, variant }];
}

/** The clusters that a rule's requests may go to. */
export function usesOfRule(rule: RouteRule): readonly ClusterUse[] {
  const { action, filters } = rule;
  if (action.kind !== "forward") return [];
  const variant = variantOf(rule);
  const { backends, fallback } = action;
  const uses = backends.flatMap(({ target }) => serviceUse(target, variant));
  const last = fallback === undefined ? [] : serviceUse(fallback.target, variant);
  const pairs = last.flatMap(({ name: second }) =>
    uses.map(({ name: first, ref }): ClusterUse => {
      return { kind: "fallback", name: fallbackName(first, second), ref, first, second };
    }),
  );
  const mirrors = [filters, ...backends.map((backend) => backend.filters)].flatMap((one) => one.mirrors);
  const copies = mirrors.flatMap(({ backend }) => serviceUse(backend, mirrorVariant(variant)));
  return [...uses, ...last, ...pairs, ...copies];
}

/** By name. */
export function usesOfRoute(route: RouteTable | undefined): ReadonlyMap<string, ClusterUse> {
  const rules = new Set(route?.entries.map(({ rule }) => rule));
  return new Map([...rules].flatMap(usesOfRule).map((use) => [use.name, use]));
}

/** Clusters are made once for all gateways. */
export class ClusterCache {
  readonly #made = new WeakMap<ClusterRef, Map<string, Resource>>();

  resource(use: ClusterUse): Resource {
    const { ref, name } = use;
    let byName = this.#made.get(ref);
    if (byName === undefined) this.#made.set(ref, (byName = new Map<string, Resource>()));
    let resource = byName.get(name);
    if (resource === undefined) {
      resource = use.kind === "service" ? clusterOf(ref, use.variant) : fallbackCluster(name, [use.first, use.second]);
      byName.set(name, resource);
    }
    return resource;
  }
}
