type Limit = "request" | "try" | "idle";

/** The time limits of one request. Setting one anew replaces it. */
export class TimeLimits {
  readonly #timers = new Map<Limit, NodeJS.Timeout>();

  /** @param ms  0 is none. */
  set(limit: Limit, ms: number, over: () => void): void {
    this.clear(limit);
    if (ms > 0) this.#timers.set(limit, setTimeout(over, ms));
  }

  /** Something moved. */
  refreshIdle(): void {
    this.#timers.get("idle")?.refresh();
  }

  clear(limit: Limit): void {
    clearTimeout(this.#timers.get(limit));
    this.#timers.delete(limit);
  }

  clearAll(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}
