import { isDeepStrictEqual } from "node:util";
import type { Listener, ListenerId } from "../routing/listener.ts";
import type { ListenerState } from "../routing/programmed.ts";

interface Said {
  /** The version of the table that the listener came with: what workers say of an older one is of another listener. */
  readonly since: number;
  readonly byWorker: Map<number, ListenerState | undefined>;
  /** What has been told of it since: that a port is in use is news once, not by each worker. */
  told: ListenerState | undefined;
}

/** What the workers say of each listener, as one: it serves when all do, and has failed when it has with one of them. */
export class ListenerAgreement {
  readonly #count: number;
  readonly #tell: (id: ListenerId, state: ListenerState | undefined) => void;
  readonly #listeners = new Map<ListenerId, Said>();

  constructor(count: number, tell: (id: ListenerId, state: ListenerState | undefined) => void) {
    this.#count = count;
    this.#tell = tell;
  }

  published(listeners: ReadonlyMap<ListenerId, Listener | undefined>, version: number): void {
    for (const [id, listener] of listeners)
      if (listener === undefined) {
        this.#listeners.delete(id);
        this.#tell(id, undefined);
      } else this.#listeners.set(id, { since: version, byWorker: new Map(), told: undefined });
  }

  said(worker: number, version: number, id: ListenerId, state: ListenerState | undefined): void {
    const listener = this.#listeners.get(id);
    if (listener === undefined || version < listener.since) return;
    listener.byWorker.set(worker, state);
    const joined = this.#joined(listener);
    if (isDeepStrictEqual(joined, listener.told)) return;
    listener.told = joined;
    this.#tell(id, joined);
  }

  /** No worker is left: nothing is served until one has come back. What one of several said holds until it is back. */
  allEnded(): void {
    for (const [id, listener] of this.#listeners) {
      listener.byWorker.clear();
      listener.told = undefined;
      this.#tell(id, undefined);
    }
  }

  #joined({ byWorker }: Said): ListenerState | undefined {
    const states = [...byWorker.values()];
    const failure = states.find((state) => state?.kind === "failed");
    if (failure !== undefined) return failure;
    return byWorker.size === this.#count ? states.find((state) => state !== undefined) : undefined;
  }
}
