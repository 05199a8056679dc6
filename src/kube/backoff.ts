import { setTimeout as sleep } from "node:timers/promises";

const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/** Waiting times that double up to half a minute, each shortened by chance so that many clients do not come together. */
export class Backoff {
  readonly #random: () => number;
  readonly #first: number;
  readonly #longest: number;
  #failures = 0;

  constructor(random: () => number, first = FIRST_MS, longest = LONGEST_MS) {
    this.#random = random;
    this.#first = first;
    this.#longest = longest;
  }

  reset(): void {
    this.#failures = 0;
  }

  next(): number {
    const ceiling = Math.min(this.#first * 2 ** this.#failures++, this.#longest);
    return ceiling * (0.5 + this.#random() / 2);
  }

  /** Waits the next time, or until `signal` aborts. Never throws. */
  async wait(signal: AbortSignal, atLeastMs = 0): Promise<void> {
    await pause(Math.max(this.next(), atLeastMs), signal);
  }
}

/** Resolves after `ms` or when `signal` aborts, whichever is first. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  // It rejects for nothing but the signal.
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
