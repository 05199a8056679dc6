import { Signal, computed, type ReadonlySignal } from "@preact/signals-core";

interface Owner<K, V> {
  unread(signal: KeyedSignal<K, V>): void;
}

class KeyedSignal<K, V> extends Signal<V | undefined> {
  readonly key: K;
  readonly owner: Owner<K, V>;
  isRead = false;

  constructor(key: K, value: V | undefined, owner: Owner<K, V>) {
    super(value, OPTIONS);
    this.key = key;
    this.owner = owner;
  }
}

/** One pair of functions for all signals: there is a signal for every object and more, so that closures would add up. */
const OPTIONS = {
  watched(this: Signal): void {
    if (this instanceof KeyedSignal) this.isRead = true;
  },
  unwatched(this: Signal): void {
    if (!(this instanceof KeyedSignal)) return;
    this.isRead = false;
    this.owner.unread(this);
  },
};

/**
 * A map whose readers are told when the entry that they read changes, absent entries included. A reader costs one
 * signal for its key; keys that are absent and unread cost nothing, so nothing outlives its last reader (F43).
 */
export class TrackedMap<K, V> {
  readonly #signals = new Map<K, KeyedSignal<K, V>>();

  /** Told by its signals; an absent key that nobody reads any more is forgotten. */
  unread(signal: KeyedSignal<K, V>): void {
    if (signal.peek() === undefined && this.#signals.get(signal.key) === signal) this.#signals.delete(signal.key);
  }

  /** Reads inside a computation, which will run again when the entry changes. */
  get(key: K): V | undefined {
    let found = this.#signals.get(key);
    if (found === undefined) {
      found = new KeyedSignal<K, V>(key, undefined, this);
      this.#signals.set(key, found);
    }
    return found.value;
  }

  /** Reads without being told of changes. */
  peek(key: K): V | undefined {
    return this.#signals.get(key)?.peek();
  }

  set(key: K, value: V): void {
    const found = this.#signals.get(key);
    if (found === undefined) this.#signals.set(key, new KeyedSignal<K, V>(key, value, this));
    else found.value = value;
  }

  delete(key: K): void {
    const found = this.#signals.get(key);
    if (found === undefined) return;
    found.value = undefined;
    if (!found.isRead) this.#signals.delete(key);
  }

  *keys(): Generator<K> {
    for (const [key, signal] of this.#signals) if (signal.peek() !== undefined) yield key;
  }

  /** Entries and absent keys that somebody reads. */
  get size(): number {
    return this.#signals.size;
  }
}

/**
 * Values computed from others on demand, one for each key, kept as long as somebody reads them. An equal result is the
 * same object as before, so that nothing runs again for it.
 */
export class DerivedMap<K, V> {
  readonly #computed = new Map<K, ReadonlySignal<V>>();
  readonly #derive: (key: K, last: V | undefined) => V;
  readonly #equal: (a: V, b: V) => boolean;

  constructor(derive: (key: K, last: V | undefined) => V, equal: (a: V, b: V) => boolean = Object.is) {
    this.#derive = derive;
    this.#equal = equal;
  }

  get(key: K): V {
    let found = this.#computed.get(key);
    if (found === undefined) {
      found = computed(this.#remembering(key), { unwatched: () => this.#computed.delete(key) });
      this.#computed.set(key, found);
    }
    return found.value;
  }

  get size(): number {
    return this.#computed.size;
  }

  #remembering(key: K): () => V {
    let last: V | undefined;
    return () => {
      const next = this.#derive(key, last);
      if (last === undefined || !this.#equal(last, next)) last = next;
      return last;
    };
  }
}
