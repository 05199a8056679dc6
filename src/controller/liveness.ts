import type { ReplicaReport, Liveness as RouteLiveness } from "../routing/programmed.ts";
import type { RouteKey } from "../routing/routing-table.ts";

/** Which version of which object: a name may come back as another object, and generations then start anew (F37). */
export interface Version {
  readonly uid: string;
  readonly generation: number;
  readonly resourceVersion: string;
}

/** Knows which routes are served, once they have been published. */
export interface LivenessCount {
  published(key: RouteKey, version: Version): void;
  forget(key: RouteKey): void;
  reported(others: readonly ReplicaReport[] | undefined): void;
}

interface Waiting {
  readonly version: string;
  readonly generation: number;
  readonly resourceVersion: bigint;
  /** What was said last. */
  live: number;
  total: number;
}

/**
 * Counts the replicas that serve each route's generation. Once all do, that is latched: a replica that joins later
 * takes nothing back. Only routes that still wait cost anything when a report comes in.
 */
export class Liveness implements LivenessCount {
  readonly #set: (key: RouteKey, liveness: RouteLiveness) => void;
  readonly #waiting = new Map<RouteKey, Waiting>();
  readonly #settled = new Map<RouteKey, string>();
  #others: readonly ReplicaReport[] = [];
  #counting: boolean;

  /** @param counting  False until the first reports of other replicas are in: nothing is said to be live everywhere before. */
  constructor(set: (key: RouteKey, liveness: RouteLiveness) => void, counting: boolean) {
    this.#set = set;
    this.#counting = counting;
  }

  /** This replica's table has the route. */
  published(key: RouteKey, { uid, generation, resourceVersion }: Version): void {
    const version = `${uid}/${generation}`;
    if (this.#settled.get(key) === version || this.#waiting.get(key)?.version === version) return;
    this.#settled.delete(key);
    const seen = /^[0-9]+$/.test(resourceVersion) ? BigInt(resourceVersion) : 0n;
    this.#waiting.set(key, { version, generation, resourceVersion: seen, live: 0, total: 0 });
    this.#check(key);
  }

  forget(key: RouteKey): void {
    this.#waiting.delete(key);
    this.#settled.delete(key);
  }

  /** The reports of all other replicas that are ready now; undefined while nothing is known of them, and nothing more is said. */
  reported(others: readonly ReplicaReport[] | undefined): void {
    this.#counting = others !== undefined;
    if (others === undefined) return;
    this.#others = others;
    for (const key of [...this.#waiting.keys()]) this.#check(key);
  }

  #check(key: RouteKey): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined || !this.#counting) return;
    const total = this.#others.length + 1;
    const live = this.#others.filter(({ servedThrough }) => servedThrough >= waiting.resourceVersion).length + 1;
    if (live !== waiting.live || total !== waiting.total)
      this.#set(key, { generation: waiting.generation, live, total });
    [waiting.live, waiting.total] = [live, total];
    if (live < total) return;
    this.#waiting.delete(key);
    this.#settled.set(key, waiting.version);
  }
}
