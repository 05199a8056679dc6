import type { CircuitBreaker } from "../../routing/cluster-policy.ts";

/** A request's place at a backend. Given back whatever becomes of the request. */
export interface Place {
  /** Whether the request may go on at once. */
  readonly mayStart: boolean;
  leave(): void;
}

/**
 * Limits what one backend is given at once. Requests beyond what its connections can carry wait in line; requests
 * beyond that are turned away.
 *
 * @source Envoy's circuit breakers: max_connections, max_pending_requests, max_requests.
 */
export class Breaker {
  readonly #limits: CircuitBreaker | undefined;
  /** Requests that all connections together can carry. */
  readonly #capacity: number;
  readonly #line = new Set<() => void>();
  #running = 0;
  #isCalling = false;

  /** @param perConnection  Requests that one connection carries at a time. */
  constructor(limits: CircuitBreaker | undefined, perConnection: number) {
    this.#limits = limits;
    this.#capacity = limits === undefined ? Infinity : limits.maxConnections * perConnection;
  }

  /** Requests that have a place, those in line included. */
  get active(): number {
    return this.#running + this.#line.size;
  }

  /**
   * @param called  Called later, when the turn of a request that waits has come.
   * @returns       undefined when there is no place at all.
   */
  enter(called: () => void): Place | undefined {
    const { maxRequests = Infinity, maxPendingRequests = Infinity } = this.#limits ?? {};
    if (this.active >= maxRequests) return undefined;
    const mayStart = this.#running < this.#capacity;
    if (!mayStart && this.#line.size >= maxPendingRequests) return undefined;
    // A function of its own: the same one could not stand in line twice.
    const start = (): void => called();
    if (mayStart) this.#running++;
    else this.#line.add(start);
    let left = false;
    const leave = (): void => {
      if (left) return;
      left = true;
      if (this.#line.delete(start)) return;
      this.#running--;
      this.#callNext();
    };
    return { mayStart, leave };
  }

  /** A loop and no recursion: one that is called may leave at once, and so may all that come after it. */
  #callNext(): void {
    if (this.#isCalling) return;
    this.#isCalling = true;
    for (let [next] = this.#line; next !== undefined && this.#running < this.#capacity; [next] = this.#line) {
      this.#line.delete(next);
      this.#running++;
      next();
    }
    this.#isCalling = false;
  }
}
