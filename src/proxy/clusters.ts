import type { EndpointSet, EndpointsKey } from "../routing/endpoints.ts";
import type { ClusterRef } from "../routing/rule.ts";
import { Cluster } from "./cluster.ts";

const UNUSED_MS = 5 * 60_000;

interface Known {
  readonly endpoints: EndpointsKey;
  readonly cluster: Cluster;
  usedAt: number;
}

/** Clusters by the name of their state, made when a request first needs them. */
export class Clusters {
  readonly #byState = new Map<string, Known>();
  readonly #random: () => number;
  readonly #now: () => number;
  #sweptAt = 0;

  /** @param now  Milliseconds that never jump. */
  constructor(random: () => number, now: () => number = () => performance.now()) {
    this.#random = random;
    this.#now = now;
  }

  get size(): number {
    return this.#byState.size;
  }

  get({ state, endpoints, algorithm }: ClusterRef): Cluster {
    const now = this.#now();
    let known = this.#byState.get(state);
    if (known === undefined) {
      this.#sweep(now);
      known = { endpoints, cluster: new Cluster(algorithm, this.#random), usedAt: now };
      this.#byState.set(state, known);
    }
    known.usedAt = now;
    return known.cluster;
  }

  /** An edit of a policy leaves a state behind that nothing names any more: what no request has asked for in a while goes. */
  #sweep(now: number): void {
    if (now - this.#sweptAt < UNUSED_MS) return;
    this.#sweptAt = now;
    for (const [state, { cluster, usedAt }] of this.#byState) {
      if (now - usedAt < UNUSED_MS || cluster.active > 0) continue;
      cluster.keepOnly(undefined);
      this.#byState.delete(state);
    }
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
