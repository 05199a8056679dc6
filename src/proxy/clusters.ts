import type { EndpointSet, EndpointsKey } from "../routing/endpoints.ts";
import type { ClusterRef } from "../routing/rule.ts";
import { Cluster } from "./cluster.ts";

/** Clusters by the name of their state, made when a request first needs them. */
export class Clusters {
  readonly #byState = new Map<string, { readonly endpoints: EndpointsKey; readonly cluster: Cluster }>();
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  get({ state, endpoints, algorithm }: ClusterRef): Cluster {
    let known = this.#byState.get(state);
    if (known === undefined) {
      known = { endpoints, cluster: new Cluster(algorithm, this.#random) };
      this.#byState.set(state, known);
    }
    return known.cluster;
  }

  /** Follows a change of endpoints; clusters whose Service port no route uses any more go with it. */
  update(changed: ReadonlyMap<EndpointsKey, EndpointSet | undefined>): void {
    if (changed.size === 0) return;
    for (const [state, { endpoints, cluster }] of this.#byState) {
      if (!changed.has(endpoints)) continue;
      const set = changed.get(endpoints);
      cluster.keepOnly(set);
      if (set === undefined && cluster.active === 0) this.#byState.delete(state);
    }
  }

  close(): void {
    for (const { cluster } of this.#byState.values()) cluster.keepOnly(undefined);
    this.#byState.clear();
  }
}
