/**
 * Gathers what has been published until it is served, the newest of each key: one batch waits, the next gathers
 * meanwhile. However long a data plane takes, no more is kept than there are keys.
 */
export class ServedBatches<K, V> {
  readonly #whenServed: (served: () => void) => void;
  readonly #take: (batch: ReadonlyMap<K, V>) => void;
  #gathered = new Map<K, V>();
  #isWaiting = false;

  /** @param whenServed  Calls back once everything that has been published so far is served, perhaps at once. */
  constructor(whenServed: (served: () => void) => void, take: (batch: ReadonlyMap<K, V>) => void) {
    this.#whenServed = whenServed;
    this.#take = take;
  }

  /** What waits already under a key gives way; `join` may keep some of it. */
  add(key: K, value: V, join: (older: V, newer: V) => V = (_, newer) => newer): void {
    const older = this.#gathered.get(key);
    this.#gathered.set(key, older === undefined ? value : join(older, value));
  }

  /** What has been added has been published. */
  published(): void {
    if (this.#isWaiting || this.#gathered.size === 0) return;
    const batch = this.#gathered;
    this.#gathered = new Map();
    this.#isWaiting = true;
    this.#whenServed(() => {
      this.#isWaiting = false;
      this.#take(batch);
      this.published();
    });
  }
}
