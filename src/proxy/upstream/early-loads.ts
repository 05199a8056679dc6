import type { ClusterName, Load } from "../../routing/cluster-news.ts";
import { STALE_MS, isNothing } from "./shared-load.ts";

interface Heard {
  readonly load: Load;
  /** Milliseconds that never jump. */
  readonly at: number;
}

const idOf = ({ endpoints, state }: ClusterName): string => `${endpoints} ${state}`;

/** What other processes have given backends that nothing here has used yet: the first request that does has to know it. */
export class EarlyLoads {
  /** By backend, then by process. */
  readonly #loads = new Map<string, Map<number, Heard>>();

  heard(from: number, cluster: ClusterName, load: Load, now: number): void {
    const id = idOf(cluster);
    const known = this.#loads.get(id);
    if (!isNothing(load)) {
      if (known === undefined) this.#loads.set(id, new Map([[from, { load, at: now }]]));
      else known.set(from, { load, at: now });
    } else if (known?.delete(from) === true && known.size === 0) this.#loads.delete(id);
  }

  /** By process; here it is forgotten. */
  take(cluster: ClusterName, now: number): ReadonlyMap<number, Load> {
    const known = [...(this.#loads.get(idOf(cluster)) ?? [])];
    this.#loads.delete(idOf(cluster));
    return new Map(known.flatMap(([from, { load, at }]) => (now - at < STALE_MS ? [[from, load] as const] : [])));
  }

  /** What a process has said that is gone, and what is not said again. */
  forget(gone: (from: number, at: number) => boolean): void {
    for (const [id, known] of this.#loads) {
      for (const [from, { at }] of known) if (gone(from, at)) known.delete(from);
      if (known.size === 0) this.#loads.delete(id);
    }
  }
}
