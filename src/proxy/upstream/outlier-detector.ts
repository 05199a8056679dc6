import type { EndpointHealth } from "../../routing/cluster-news.ts";
import type { PassiveHealth } from "../../routing/cluster-policy.ts";

const LONGEST_FACTOR = 10;

/** What is known of one endpoint from the requests that it was given. Times are milliseconds that never jump. */
export class OutlierDetector {
  readonly #policy: PassiveHealth;
  #failures = 0;
  /** How many times as long as the first ejection the next one lasts. */
  #factor = 0;
  #ejectedAt = 0;
  #ejectedUntil = 0;

  constructor(policy: PassiveHealth) {
    this.#policy = policy;
  }

  get ejectedUntil(): number {
    return this.#ejectedUntil;
  }

  /** What another process has to know of it. */
  health(now: number): Omit<EndpointHealth, "isWell"> {
    const ejectedForMs = Math.max(this.#ejectedUntil - now, 0);
    return { failures: this.#failures, ejectedForMs, factor: ejectedForMs > 0 ? this.#factor : 0 };
  }

  /** What another process knows of it, which may be more. */
  learn(now: number, { failures, ejectedForMs, factor }: Omit<EndpointHealth, "isWell">): void {
    this.#failures = Math.max(this.#failures, failures);
    if (now + ejectedForMs <= Math.max(this.#ejectedUntil, now)) return;
    this.#ejectedAt = now;
    this.#ejectedUntil = now + ejectedForMs;
    this.#factor = Math.max(this.#factor, factor);
  }

  isEjected(now: number): boolean {
    return now < this.#ejectedUntil;
  }

  /** @returns Whether that ends a row of failures. */
  succeeded(): boolean {
    const ends = this.#failures > 0;
    this.#failures = 0;
    return ends;
  }

  /** Whether another failure would say anything new. */
  counts(now: number): boolean {
    return !this.isEjected(now) && this.#failures < this.#policy.consecutive5xx;
  }

  /** @returns Whether it has failed often enough to be ejected, if there is room for one more. */
  failed(now: number): boolean {
    if (this.isEjected(now)) return false;
    this.#failures++;
    return this.#failures >= this.#policy.consecutive5xx;
  }

  eject(now: number): void {
    const { ejectionTimeMs, intervalMs } = this.#policy;
    const quiet = this.#ejectedAt === 0 ? 0 : Math.floor((now - this.#ejectedUntil) / intervalMs);
    this.#factor = Math.min(Math.max(this.#factor - quiet, 0) + 1, LONGEST_FACTOR);
    this.#failures = 0;
    this.#ejectedAt = now;
    this.#ejectedUntil = now + ejectionTimeMs * this.#factor;
  }
}
