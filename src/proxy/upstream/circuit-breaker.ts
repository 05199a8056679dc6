import type { Load } from "../../routing/cluster-news.ts";
import type { CircuitBreaker } from "../../routing/cluster-policy.ts";
import { SharedLoad } from "./shared-load.ts";

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
  readonly #others: SharedLoad | undefined;
  #running = 0;
  #isCalling = false;

  /**
   * @param perConnection  Requests that one connection carries at a time.
   * @param tell           Tells other processes what this one has given the backend; absent: there are none.
   */
  constructor(limits: CircuitBreaker | undefined, perConnection: number, tell?: (load: Load) => void) {
    this.#limits = limits;
    if (limits !== undefined && tell !== undefined)
      this.#others = new SharedLoad(
        () => ({ running: this.#running, waiting: this.#line.size }),
        tell,
        () => this.#roomElsewhere(),
      );
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
    const elsewhere = this.#others?.waiting ?? 0;
    if (this.active + elsewhere + (this.#others?.running ?? 0) >= maxRequests) return undefined;
    const mayStart = this.#mayStart();
    if (!mayStart && this.#line.size + elsewhere >= maxPendingRequests) return undefined;
    // A function of its own: the same one could not stand in line twice.
    const start = (): void => called();
    if (mayStart) this.#running++;
    else this.#line.add(start);
    this.#others?.changed();
    let left = false;
    const leave = (): void => {
      if (left) return;
      left = true;
      if (!this.#line.delete(start)) this.#running--;
      this.#callNext();
      this.#others?.changed();
    };
    return { mayStart, leave };
  }

  /** @param load  undefined: the process is gone. */
  heard(from: number, load: Load | undefined): void {
    this.#others?.heard(from, load);
    this.#roomElsewhere();
  }

  /** Somebody knows nothing of what this one has given the backend. */
  repeat(): void {
    this.#others?.repeat();
  }

  #roomElsewhere(): void {
    this.#callNext();
    this.#others?.changed();
  }

  #mayStart(): boolean {
    return this.#running + (this.#others?.running ?? 0) < this.#capacity;
  }

  /** A loop and no recursion: one that is called may leave at once, and so may all that come after it. */
  #callNext(): void {
    if (this.#isCalling) return;
    this.#isCalling = true;
    try {
      for (let [next] = this.#line; next !== undefined && this.#mayStart(); [next] = this.#line) {
        this.#line.delete(next);
        this.#running++;
        next();
      }
    } finally {
      this.#isCalling = false;
    }
  }
}
