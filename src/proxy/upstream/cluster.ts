import { type Endpoint, type EndpointSet, authorityOf } from "../../routing/endpoints.ts";
import type { Algorithm, RetryPolicy } from "../../routing/rule.ts";
import { EndpointPool } from "./endpoint-pool.ts";

/** Copies that may be on their way to one backend at a time: one that does not answer must not take up all sockets. */
const MOST_MIRRORS = 100;

/** What is shared by all requests to one backend with equal policies: connections, counts and the retry budget. */
export class Cluster {
  readonly #pools = new Map<string, EndpointPool>();
  readonly #algorithm: Algorithm;
  readonly #random: () => number;
  #next = 0;
  #active = 0;
  #retrying = 0;
  #mirroring = 0;

  constructor(algorithm: Algorithm, random: () => number) {
    this.#algorithm = algorithm;
    this.#random = random;
  }

  get active(): number {
    return this.#active;
  }

  enter(): void {
    this.#active++;
  }

  leave(): void {
    this.#active--;
  }

  /** @returns Whether the budget has room for one more retry; if so it must be given back with {@link endRetry}. */
  beginRetry({ budgetPercent, budgetMinConcurrent }: RetryPolicy): boolean {
    const allowed = Math.max(budgetMinConcurrent, Math.floor((this.#active * budgetPercent) / 100));
    if (this.#retrying >= allowed) return false;
    this.#retrying++;
    return true;
  }

  endRetry(): void {
    this.#retrying--;
  }

  /** @returns Whether there is room for one more copy; if so it must be given back with {@link endMirror}. */
  beginMirror(): boolean {
    if (this.#mirroring >= MOST_MIRRORS) return false;
    this.#mirroring++;
    return true;
  }

  endMirror(): void {
    this.#mirroring--;
  }

  /**
   * An endpoint for one try.
   *
   * @param tried  Endpoints that have failed this request; used again only when there is no other.
   * @returns      undefined when there is no usable endpoint at all.
   */
  pick(set: EndpointSet | undefined, tried: ReadonlySet<string>, connectTimeoutMs: number): EndpointPool | undefined {
    if (set === undefined || set.usable.length === 0) return undefined;
    const fresh = tried.size === 0 ? set.usable : set.usable.filter((endpoint) => !tried.has(authorityOf(endpoint)));
    const candidates = this.#withoutAvoided(fresh.length === 0 ? set.usable : fresh);
    const endpoint = candidates.length === 1 ? candidates[0] : this.#choose(candidates, connectTimeoutMs);
    return endpoint === undefined ? undefined : this.#pool(endpoint, connectTimeoutMs);
  }

  /** Forgets endpoints that are gone: their requests in flight end, nothing new is sent. */
  keepOnly(set: EndpointSet | undefined): void {
    const present = new Set((set?.usable ?? []).map(authorityOf));
    for (const [id, pool] of this.#pools) {
      if (present.has(id)) continue;
      pool.close();
      this.#pools.delete(id);
    }
  }

  #withoutAvoided(candidates: readonly Endpoint[]): readonly Endpoint[] {
    const now = performance.now();
    const good = candidates.filter((endpoint) => this.#pools.get(authorityOf(endpoint))?.isAvoided(now) !== true);
    return good.length === 0 ? candidates : good;
  }

  #choose(candidates: readonly Endpoint[], connectTimeoutMs: number): Endpoint | undefined {
    switch (this.#algorithm) {
      case "RoundRobin":
        return candidates[this.#next++ % candidates.length];
      case "Random":
        return candidates[this.#randomIndex(candidates.length)];
      case "LeastRequest":
        return this.#leastOfTwo(candidates, connectTimeoutMs);
      default:
        return this.#algorithm satisfies never;
    }
  }

  /** Power of two choices, as Envoy's LEAST_REQUEST does it. */
  #leastOfTwo(candidates: readonly Endpoint[], connectTimeoutMs: number): Endpoint | undefined {
    const first = this.#randomIndex(candidates.length);
    const second = (first + 1 + this.#randomIndex(candidates.length - 1)) % candidates.length;
    const [a, b] = [candidates[first], candidates[second]];
    if (a === undefined || b === undefined) return a ?? b;
    return this.#pool(a, connectTimeoutMs).active <= this.#pool(b, connectTimeoutMs).active ? a : b;
  }

  #randomIndex(length: number): number {
    return Math.floor(this.#random() * length);
  }

  #pool(endpoint: Endpoint, connectTimeoutMs: number): EndpointPool {
    const id = authorityOf(endpoint);
    let pool = this.#pools.get(id);
    if (pool === undefined) this.#pools.set(id, (pool = new EndpointPool(endpoint, connectTimeoutMs)));
    return pool;
  }
}
