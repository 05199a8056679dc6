const TICK_MS = 50;
/** How much the last tick counts in the average. */
const WEIGHT = 0.3;

/**
 * Sheds requests while the event loop is late: those that are taken are served in time, instead of all too late. The
 * share that is turned away grows from none at the limit to all at twice the limit.
 */
export class Overload {
  readonly #limitMs: number;
  readonly #timer: NodeJS.Timeout | undefined;
  #delayMs = 0;

  /** @param limitMs  Delay from which on requests are turned away; 0 is never. */
  constructor(limitMs: number) {
    this.#limitMs = limitMs;
    if (limitMs === 0) return;
    let due = performance.now() + TICK_MS;
    this.#timer = setInterval(() => {
      const now = performance.now();
      this.#delayMs += WEIGHT * (Math.max(now - due, 0) - this.#delayMs);
      due = now + TICK_MS;
    }, TICK_MS).unref();
  }

  /** @param unit  Uniform in [0, 1). */
  sheds(unit: number): boolean {
    return this.#limitMs > 0 && unit < this.#delayMs / this.#limitMs - 1;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
