import type { Listener, ListenerId } from "../routing/listener.ts";
import type { ListenerReport, ListenerState, ReplicaReport } from "../routing/programmed.ts";

interface Own {
  readonly digest: string;
  /** What this replica's data plane says; undefined: nothing yet. */
  state: ListenerState | undefined;
}

/**
 * Joins what this replica's data plane says of each listener with what the other replicas say of theirs: it serves when
 * all serve the same, and has failed when one cannot bind its port.
 */
export class ListenerLiveness {
  readonly #set: (id: ListenerId, state: ListenerState | undefined) => void;
  readonly #own = new Map<ListenerId, Own>();
  #others: readonly ReplicaReport[] = [];
  #counting: boolean;

  /** @param counting  False until the first reports of other replicas are in: nothing is said to serve everywhere before. */
  constructor(set: (id: ListenerId, state: ListenerState | undefined) => void, counting: boolean) {
    this.#set = set;
    this.#counting = counting;
  }

  /** These listeners come into this replica's table now, change there, or leave it; its data plane has yet to follow. */
  published(listeners: ReadonlyMap<ListenerId, Listener | undefined>): void {
    for (const [id, listener] of listeners) {
      if (listener === undefined) this.#own.delete(id);
      else this.#own.set(id, { digest: listener.digest, state: undefined });
      this.#tell(id);
    }
  }

  /** This replica's data plane said something of a listener. */
  said(id: ListenerId, state: ListenerState | undefined): void {
    const own = this.#own.get(id);
    if (own === undefined) return;
    own.state = state;
    this.#tell(id);
  }

  /** The reports of all other replicas that are ready now; undefined while nothing is known of them: what was said of a listener that stays as it is stays, too. */
  reported(others: readonly ReplicaReport[] | undefined): void {
    this.#counting = others !== undefined;
    if (others === undefined) return;
    this.#others = others;
    for (const id of this.#own.keys()) this.#tell(id);
  }

  /** Of this replica, for the others. */
  report(): ListenerReport {
    const serving = new Set<string>();
    const failed = new Map<string, string>();
    for (const { digest, state } of this.#own.values()) {
      if (state?.kind === "serving") serving.add(digest);
      if (state?.kind === "failed") failed.set(digest, state.message);
    }
    return { serving, failed };
  }

  /** Listeners of this replica's table of which its data plane has said nothing yet. */
  waiting(): ListenerId[] {
    return [...this.#own].filter(([, { state }]) => state === undefined).map(([id]) => id);
  }

  #tell(id: ListenerId): void {
    this.#set(id, this.#joined(id));
  }

  #joined(id: ListenerId): ListenerState | undefined {
    const own = this.#own.get(id);
    if (own === undefined) return undefined;
    const failures = this.#others.flatMap(({ listeners }) => listeners.failed.get(own.digest) ?? []);
    if (own.state?.kind === "failed") failures.push(own.state.message);
    const [first] = failures;
    const elsewhere =
      own.state?.kind === "serving" || this.#others.some(({ listeners }) => listeners.serving.has(own.digest));
    const reason = own.state?.kind === "failed" ? own.state.reason : "PortUnavailable";
    if (first !== undefined) return { ...failed(first, failures.length, this.#others.length + 1, elsewhere), reason };
    const everywhere = this.#counting && this.#others.every(({ listeners }) => listeners.serving.has(own.digest));
    return everywhere ? own.state : undefined;
  }
}

function failed(
  why: string,
  count: number,
  total: number,
  isServedElsewhere: boolean,
): Extract<ListenerState, { kind: "failed" }> {
  const where = total === 1 ? "" : `on ${count} of ${total} replicas: `;
  return { kind: "failed", reason: "PortUnavailable", message: `${where}${why}`, isServedElsewhere };
}
