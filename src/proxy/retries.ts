import type { RetryPolicy } from "../routing/rule.ts";
import type { Cluster } from "./upstream/cluster.ts";

const MAX_BACKOFF_FACTOR = 10;

/** How often one request is tried again, and what it takes of its backend's budget for that. */
export class Retries {
  readonly #policy: RetryPolicy;
  readonly #random: () => number;
  #count = 0;
  #holder: Cluster | undefined;

  constructor(policy: RetryPolicy, random: () => number) {
    this.#policy = policy;
    this.#random = random;
  }

  /** @param unsent  Nothing of the try was sent: it has loaded no backend, so that its repetition costs no budget. */
  allows(cluster: Cluster | undefined, unsent: boolean): boolean {
    if (this.#count >= this.#policy.attempts) return false;
    if (this.#holder !== undefined || unsent) return true;
    if (cluster?.beginRetry(this.#policy) === true) this.#holder = cluster;
    return this.#holder !== undefined;
  }

  /** Counts one. @returns Milliseconds until it. */
  next(): number {
    const { backoffMs, connectFailureOnly } = this.#policy;
    const factor = Math.min(2 ** this.#count++, MAX_BACKOFF_FACTOR);
    return connectFailureOnly ? 0 : backoffMs * factor * (0.5 + this.#random() / 2);
  }

  end(): void {
    this.#holder?.endRetry();
    this.#holder = undefined;
  }
}
