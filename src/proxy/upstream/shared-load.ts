import type { Load } from "../../routing/cluster-news.ts";

/** The first change is told at once; as many as come within this time after it are told together. */
const PAUSE_MS = 5;

/** What one backend has been given by all processes of the gateway: ours is told to the others, and theirs counted here. */
export class SharedLoad {
  readonly #own: () => Load;
  readonly #tell: (load: Load) => void;
  readonly #others = new Map<number, Load>();
  #told: Load = { running: 0, waiting: 0 };
  #pause: NodeJS.Timeout | undefined;
  running = 0;
  waiting = 0;

  constructor(own: () => Load, tell: (load: Load) => void) {
    this.#own = own;
    this.#tell = tell;
  }

  /** Ours may have changed. */
  changed(): void {
    if (this.#pause !== undefined || this.#isTold()) return;
    this.#tellNow();
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.changed();
    }, PAUSE_MS).unref();
  }

  /** Somebody has come who knows nothing of it. */
  repeat(): void {
    const { running, waiting } = this.#own();
    if (running + waiting > 0) this.#tellNow();
  }

  /** @param load  undefined: the process is gone. */
  heard(from: number, load: Load | undefined): void {
    if (load === undefined) this.#others.delete(from);
    else this.#others.set(from, load);
    this.running = this.waiting = 0;
    for (const other of this.#others.values()) {
      this.running += other.running;
      this.waiting += other.waiting;
    }
  }

  #isTold(): boolean {
    const { running, waiting } = this.#own();
    return running === this.#told.running && waiting === this.#told.waiting;
  }

  #tellNow(): void {
    this.#told = this.#own();
    this.#tell(this.#told);
  }
}
