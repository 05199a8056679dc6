import type { Liveness as RouteLiveness } from "../routing/programmed.ts";
import type { RouteKey } from "../routing/routing-table.ts";

/** How far a replica's live table is complete: everything up to this resourceVersion of ServiceRoutes is in it. */
export interface ReplicaReport {
  readonly replica: string;
  readonly servedThrough: bigint;
}

interface Waiting {
  readonly generation: number;
  readonly resourceVersion: bigint;
}

/**
 * Counts the replicas that serve each route's generation. Once all do, that is latched: a replica that joins later
 * takes nothing back. Only routes that still wait cost anything when a report comes in.
 */
export class Liveness {
  readonly #set: (key: RouteKey, liveness: RouteLiveness) => void;
  readonly #waiting = new Map<RouteKey, Waiting>();
  readonly #settled = new Map<RouteKey, number>();
  #others: readonly ReplicaReport[] = [];
  #counting: boolean;

  /** @param counting  False until the first reports of other replicas are in: nothing is said to be live everywhere before. */
  constructor(set: (key: RouteKey, liveness: RouteLiveness) => void, counting: boolean) {
    this.#set = set;
    this.#counting = counting;
  }

  /** This replica's table has the route. */
  published(key: RouteKey, generation: number, resourceVersion: string): void {
    if (this.#settled.get(key) === generation) return;
    const waiting = this.#waiting.get(key);
    if (waiting?.generation === generation) return;
    this.#waiting.set(key, {
      generation,
      resourceVersion: /^[0-9]+$/.test(resourceVersion) ? BigInt(resourceVersion) : 0n,
    });
    this.#check(key);
  }

  forget(key: RouteKey): void {
    this.#waiting.delete(key);
    this.#settled.delete(key);
  }

  /** The reports of all other replicas that are ready now. */
  reported(others: readonly ReplicaReport[]): void {
    this.#others = others;
    this.#counting = true;
    for (const key of [...this.#waiting.keys()]) this.#check(key);
  }

  #check(key: RouteKey): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined || !this.#counting) return;
    const total = this.#others.length + 1;
    const live = this.#others.filter(({ servedThrough }) => servedThrough >= waiting.resourceVersion).length + 1;
    this.#set(key, { generation: waiting.generation, live, total });
    if (live < total) return;
    this.#waiting.delete(key);
    this.#settled.set(key, waiting.generation);
  }
}
