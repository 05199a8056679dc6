/** Of a worker's allowance: with less than that left it asks for more. */
const MARGIN = 1 / 8;

interface Share {
  /** What the worker may have at most, as far as is known here: what it was last told, until it says that it follows less. */
  most: number;
  /** Counts what it was told, so that a beat can be told from one that was on its way meanwhile. */
  turn: number;
  open: number;
  isTold: boolean;
}

/**
 * Divides the connections that clients may have among workers, so that all together never have more than that. Each
 * begins with an equal share; who runs short gets what others do not use, once they have let go of it.
 */
export class ConnectionShares {
  readonly #most: number;
  readonly #count: number;
  readonly #tell: (worker: number, most: number, turn: number) => void;
  readonly #shares = new Map<number, Share>();

  /** @param most  Of all workers together; 0 is no limit. */
  constructor(most: number, count: number, tell: (worker: number, most: number, turn: number) => void) {
    this.#most = most;
    this.#count = count;
    this.#tell = tell;
  }

  started(worker: number): void {
    if (this.#most === 0) return;
    const fair = Math.ceil(this.#most / this.#count);
    const share: Share = { most: 0, turn: 0, open: 0, isTold: true };
    const first = Math.min(fair, this.#free());
    this.#shares.set(worker, share);
    this.#give(worker, share, first);
  }

  /** Its connections have ended with it. */
  ended(worker: number): void {
    this.#shares.delete(worker);
    this.#level();
  }

  /** @param most  What the worker follows since it was told for the `turn`-th time. */
  beat(worker: number, open: number, most: number, turn: number): void {
    const share = this.#shares.get(worker);
    if (share === undefined || turn !== share.turn) return;
    share.open = open;
    share.most = most;
    share.isTold = true;
    this.#level();
  }

  #free(): number {
    let free = this.#most;
    for (const { most } of this.#shares.values()) free -= most;
    return free;
  }

  #margin(): number {
    return Math.max(1, Math.floor((this.#most / this.#count) * MARGIN));
  }

  #level(): void {
    for (const [worker, share] of this.#shares) {
      const wanted = share.open + this.#margin() - share.most;
      if (wanted <= 0 || !share.isTold) continue;
      const given = Math.min(wanted, this.#free());
      if (given > 0) this.#give(worker, share, share.most + given);
      else this.#recall();
    }
  }

  /** From the one that uses least of what it has; what it has left will be known by its next beat. */
  #recall(): void {
    const spare = ({ most, open }: Share): number => most - open - this.#margin();
    const [richest] = [...this.#shares].sort(([, a], [, b]) => spare(b) - spare(a));
    if (richest === undefined) return;
    const [worker, share] = richest;
    if (!share.isTold || spare(share) <= 0) return;
    share.isTold = false;
    this.#tell(worker, share.most - Math.ceil(spare(share) / 2), ++share.turn);
  }

  #give(worker: number, share: Share, most: number): void {
    share.most = most;
    share.isTold = false;
    this.#tell(worker, most, ++share.turn);
  }
}
