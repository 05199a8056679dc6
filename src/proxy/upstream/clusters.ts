import type { EndpointSet, EndpointsKey } from "../../routing/endpoints.ts";
import type { ClusterRef } from "../../routing/rule.ts";
import type { ClusterNews } from "../../routing/cluster-news.ts";
import { EarlyNews } from "./early-news.ts";
import { Cluster, type ClusterParts } from "./cluster.ts";

const UNUSED_MS = 5 * 60_000;

interface Known {
  readonly cluster: Cluster;
  usedAt: number;
}
/** By the name of their state: a Service port has one for each policy that it is used with. */
type States = Map<string, Known>;

/** Clusters by Service port, made when a request first needs them; a change of endpoints costs those of its port alone. */
export class Clusters {
  readonly #byEndpoints = new Map<EndpointsKey, States>();
  readonly #early = new EarlyNews();
  readonly #parts: ClusterParts;
  readonly #now: () => number;
  readonly #sweeping: NodeJS.Timeout;
  #sweptAt = 0;

  /** @param now  Milliseconds that never jump. */
  constructor(parts: ClusterParts, now: () => number = () => performance.now()) {
    this.#parts = parts;
    this.#now = now;
    this.#sweeping = setInterval(() => this.#sweep(this.#now()), UNUSED_MS / 5).unref();
  }

  get size(): number {
    return [...this.#byEndpoints.values()].reduce((sum, states) => sum + states.size, 0);
  }

  get(ref: ClusterRef): Cluster {
    const { state, endpoints } = ref;
    const now = this.#now();
    let known = this.#byEndpoints.get(endpoints)?.get(state);
    if (known === undefined) {
      this.#sweep(now);
      known = { cluster: new Cluster(ref, this.#parts), usedAt: now };
      for (const { from, news, set } of this.#early.take(ref, now)) known.cluster.heard(from, news, set);
      const states = this.#byEndpoints.get(endpoints);
      if (states === undefined) this.#byEndpoints.set(endpoints, new Map([[state, known]]));
      else states.set(state, known);
    }
    known.usedAt = now;
    return known.cluster;
  }

  /** An edit of a policy leaves a state behind that nothing names any more: what no request has asked for in a while goes. */
  #sweep(now: number): void {
    if (now - this.#sweptAt < UNUSED_MS / 5) return;
    this.#sweptAt = now;
    this.#early.forget(({ at }) => now - at >= UNUSED_MS);
    for (const [endpoints, states] of this.#byEndpoints)
      this.#drop(endpoints, states, ({ usedAt }) => now - usedAt >= UNUSED_MS);
  }

  /** Follows a change of endpoints; clusters whose Service port no route uses any more go with it. */
  update(changed: ReadonlyMap<EndpointsKey, EndpointSet | undefined>): void {
    for (const [endpoints, set] of changed) {
      const states = this.#byEndpoints.get(endpoints);
      if (states === undefined) continue;
      for (const { cluster } of states.values()) cluster.keepOnly(set);
      if (set === undefined) this.#drop(endpoints, states, () => true);
    }
  }

  /** Those that requests are on their way through stay. */
  #drop(endpoints: EndpointsKey, states: States, isOver: (known: Known) => boolean): void {
    for (const [state, known] of states) {
      if (known.cluster.active > 0 || !isOver(known)) continue;
      known.cluster.close();
      states.delete(state);
    }
    if (states.size === 0) this.#byEndpoints.delete(endpoints);
  }

  /** See {@link Cluster.heard}. */
  heard(from: number, news: ClusterNews, set: EndpointSet | undefined): void {
    const { endpoints, state } = news.cluster;
    const known = this.#byEndpoints.get(endpoints)?.get(state);
    if (known !== undefined) known.cluster.heard(from, news, set);
    else this.#early.heard({ from, news, set, at: this.#now() });
  }

  /** Another process that serves the same table has gone. */
  forget(process: number): void {
    for (const cluster of this.#all()) cluster.forget(process);
    this.#early.forget(({ from, news }) => news.kind === "load" && from === process);
  }

  *#all(): Generator<Cluster> {
    for (const states of this.#byEndpoints.values()) for (const { cluster } of states.values()) yield cluster;
  }

  close(): void {
    clearInterval(this.#sweeping);
    for (const cluster of this.#all()) cluster.close();
    this.#byEndpoints.clear();
  }
}
