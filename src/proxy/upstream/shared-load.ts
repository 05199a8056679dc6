import type { Load } from "../../routing/cluster-news.ts";

/** The first change is told at once; as many as come within this time after it are told together. */
const PAUSE_MS = 5;
const REPEAT_MS = 250;
/** What was not told again for so long counts no more: whoever said it, or passes it on, is held up. */
export const STALE_MS = 8 * REPEAT_MS;

interface Heard {
  readonly load: Load;
  /** Milliseconds that never jump. */
  readonly until: number;
}

export const isNothing = ({ running, waiting }: Load): boolean => running + waiting === 0;

/** What one backend has been given by all processes of the gateway: ours is told to the others, and theirs counted here. */
export class SharedLoad {
  readonly #own: () => Load;
  readonly #tell: (load: Load) => void;
  readonly #expired: () => void;
  readonly #others = new Map<number, Heard>();
  #told: Load = { running: 0, waiting: 0 };
  #pause: NodeJS.Timeout | undefined;
  #repeating: NodeJS.Timeout | undefined;
  #expiring: NodeJS.Timeout | undefined;
  running = 0;
  waiting = 0;

  /** @param expired  Called when what others had said counts no more. */
  constructor(own: () => Load, tell: (load: Load) => void, expired: () => void) {
    this.#own = own;
    this.#tell = tell;
    this.#expired = expired;
  }

  /** Ours may have changed. */
  changed(): void {
    const { running, waiting } = this.#own();
    const isTold = running === this.#told.running && waiting === this.#told.waiting;
    if (this.#pause === undefined && !isTold) this.#tellNow();
  }

  /** To those who know nothing of it, or would forget it. */
  repeat(): void {
    if (!isNothing(this.#own())) this.#tellNow();
  }

  /** @param load  undefined: the process is gone. */
  heard(from: number, load: Load | undefined): void {
    if (load === undefined || isNothing(load)) this.#others.delete(from);
    else this.#others.set(from, { load, until: performance.now() + STALE_MS });
    this.#count();
  }

  #tellNow(): void {
    this.#told = this.#own();
    this.#tell(this.#told);
    clearTimeout(this.#pause);
    clearTimeout(this.#repeating);
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.changed();
    }, PAUSE_MS).unref();
    this.#repeating = setTimeout(() => this.repeat(), REPEAT_MS).unref();
  }

  #count(): void {
    const now = performance.now();
    this.running = this.waiting = 0;
    for (const [from, { load, until }] of this.#others) {
      if (until <= now) this.#others.delete(from);
      else {
        this.running += load.running;
        this.waiting += load.waiting;
      }
    }
    clearTimeout(this.#expiring);
    if (this.#others.size === 0) return;
    // A timer may go off a little early.
    this.#expiring = setTimeout(() => {
      this.#count();
      this.#expired();
    }, STALE_MS + REPEAT_MS).unref();
  }
}
