import { type Key, partsOf } from "../../api/keys.ts";
import { parseObject } from "../../api/objects.ts";
import type { ApiClient } from "../../kube/api-client.ts";
import { type Feed, ListWatch, type RawObject } from "../../kube/list-watch.ts";
import type { Store } from "../../snapshot/store.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { pathOf } from "./kube-source.ts";

/** There may be hundreds of these: an API server that has just come back is not asked for all of them at once. */
const RETURN_SPREAD_MS = 15_000;

/** Kinds of which only those objects are read that somebody refers to. */
export type Referenced = "Secret" | "ConfigMap";

export interface ReferencedSourceParts {
  readonly client: ApiClient;
  readonly store: Store;
  readonly log: Logger;
  readonly random: () => number;
  readonly changed: () => void;
  readonly kind: Referenced;
  /** What to do about an object that may not be read. */
  readonly hint: (namespace: string, name: string) => string;
  /** Told why an object cannot be seen, and with undefined when it can, or is simply not there. */
  readonly problem: (key: Key<Referenced>, problem: string | undefined) => void;
}

/** Watches the objects of a kind that others refer to, each by its name, and no other (S25). */
export class ReferencedSource {
  readonly #parts: ReferencedSourceParts;
  readonly #watches = new Map<Key<Referenced>, AbortController>();
  readonly #forbidden = new Map<Key<Referenced>, string>();
  /** Objects that have been asked for and not yet been answered. */
  readonly #unread = new Set<Key<Referenced>>();
  #allRead: () => void = () => undefined;

  constructor(parts: ReferencedSourceParts) {
    this.#parts = parts;
  }

  /** Resolves when every object that is wanted now has been read, refused or found missing, or when `signal` aborts. */
  async synced(signal: AbortSignal): Promise<void> {
    if (this.#unread.size === 0 || signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.#allRead = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  #read(key: Key<Referenced>): void {
    if (!this.#unread.delete(key)) return;
    this.#parts.problem(key, this.#forbidden.get(key));
    this.#parts.changed();
    if (this.#unread.size === 0) this.#allRead();
  }

  /** Makes the watches those of `wanted`. Bytes of an object that is no longer wanted are forgotten. */
  follow(wanted: ReadonlySet<Key<Referenced>>, signal: AbortSignal): void {
    for (const [key, watch] of this.#watches) {
      if (wanted.has(key)) continue;
      watch.abort();
      this.#watches.delete(key);
      this.#forbidden.delete(key);
      this.#parts.store.remove(key);
      this.#parts.problem(key, undefined);
      this.#read(key);
    }
    for (const key of wanted) if (!this.#watches.has(key)) this.#watch(key, signal);
  }

  #watch(key: Key<Referenced>, signal: AbortSignal): void {
    const { client, log, random, kind } = this.#parts;
    const { namespace, name } = partsOf(key);
    const stop = new AbortController();
    this.#watches.set(key, stop);
    this.#unread.add(key);
    this.#parts.problem(key, `${kind} ${namespace}/${name} has not been read yet`);
    const watch = new ListWatch({
      client,
      path: pathOf(kind, namespace),
      selector: { fieldSelector: `metadata.name=${name}` },
      feed: this.#feed(key),
      log,
      random,
      absentWhen: ["notFound", "forbidden"],
      returnSpreadMs: RETURN_SPREAD_MS,
    });
    void watch.start(AbortSignal.any([stop.signal, signal]));
  }

  #feed(key: Key<Referenced>): Feed {
    const { store, changed, kind } = this.#parts;
    const apply = (raw: RawObject | undefined): void => {
      const parsed = raw === undefined ? undefined : parseObject(kind, raw);
      if (parsed?.ok === true) store.apply(parsed.object);
      else store.remove(key);
    };
    return {
      replace: (items) => {
        apply(items[0]);
        changed();
      },
      events: (events) => {
        for (const { type, object } of events) apply(type === "DELETED" ? undefined : object);
        changed();
      },
      synced: () => this.#read(key),
      failed: (error) => this.#setForbidden(key, error?.code === "forbidden"),
      restarted: () => undefined,
    };
  }

  #setForbidden(key: Key<Referenced>, isForbidden: boolean): void {
    if (this.#forbidden.has(key) === isForbidden) return;
    const { namespace, name } = partsOf(key);
    if (isForbidden) this.#forbidden.set(key, this.#parts.hint(namespace, name));
    else this.#forbidden.delete(key);
    if (!this.#unread.has(key)) this.#parts.problem(key, this.#forbidden.get(key));
    this.#parts.changed();
  }
}
