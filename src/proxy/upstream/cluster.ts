import { type Endpoint, type EndpointSet, authorityOf } from "../../routing/endpoints.ts";
import type { ClusterRef, RetryPolicy } from "../../routing/rule.ts";
import { Host } from "./host.ts";

/** Copies that may be on their way to one backend at a time: one that does not answer must not take up all sockets. */
const MOST_MIRRORS = 100;

/** What is shared by all requests to one backend with equal policies: connections, counts and the retry budget. */
export class Cluster {
  readonly #hosts = new Map<string, Host>();
  readonly #ref: ClusterRef;
  readonly #random: () => number;
  #next = 0;
  #active = 0;
  #retrying = 0;
  #mirroring = 0;

  constructor(ref: ClusterRef, random: () => number) {
    this.#ref = ref;
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
  pick(set: EndpointSet | undefined, tried: ReadonlySet<string>): Host | undefined {
    if (set === undefined || set.usable.length === 0) return undefined;
    const fresh = tried.size === 0 ? set.usable : set.usable.filter((endpoint) => !tried.has(authorityOf(endpoint)));
    const candidates = this.#withoutAvoided(fresh.length === 0 ? set.usable : fresh);
    const endpoint = candidates.length === 1 ? candidates[0] : this.#choose(candidates);
    return endpoint === undefined ? undefined : this.#host(endpoint);
  }

  /** Forgets endpoints that are gone: their requests in flight end, nothing new is sent. */
  keepOnly(set: EndpointSet | undefined): void {
    const present = new Set((set?.usable ?? []).map(authorityOf));
    for (const [id, host] of this.#hosts) {
      if (present.has(id)) continue;
      host.pool.close();
      this.#hosts.delete(id);
    }
  }

  #withoutAvoided(candidates: readonly Endpoint[]): readonly Endpoint[] {
    const now = performance.now();
    const good = candidates.filter((endpoint) => this.#hosts.get(authorityOf(endpoint))?.isAvoided(now) !== true);
    return good.length === 0 ? candidates : good;
  }

  #choose(candidates: readonly Endpoint[]): Endpoint | undefined {
    switch (this.#ref.algorithm) {
      case "RoundRobin":
        return candidates[this.#next++ % candidates.length];
      case "Random":
        return candidates[this.#randomIndex(candidates.length)];
      case "LeastRequest":
        return this.#leastOfTwo(candidates);
      default:
        return this.#ref.algorithm satisfies never;
    }
  }

  /** Power of two choices, as Envoy's LEAST_REQUEST does it. */
  #leastOfTwo(candidates: readonly Endpoint[]): Endpoint | undefined {
    const first = this.#randomIndex(candidates.length);
    const second = (first + 1 + this.#randomIndex(candidates.length - 1)) % candidates.length;
    const [a, b] = [candidates[first], candidates[second]];
    if (a === undefined || b === undefined) return a ?? b;
    return this.#host(a).active <= this.#host(b).active ? a : b;
  }

  #randomIndex(length: number): number {
    return Math.floor(this.#random() * length);
  }

  #host(endpoint: Endpoint): Host {
    const id = authorityOf(endpoint);
    let host = this.#hosts.get(id);
    if (host === undefined) this.#hosts.set(id, (host = new Host(endpoint, this.#ref)));
    return host;
  }
}
