import { type Endpoint, type EndpointSet, authorityOf } from "../../routing/endpoints.ts";
import type { ClusterName, ClusterNews } from "../../routing/cluster-news.ts";
import type { ClusterRef, RetryPolicy } from "../../routing/rule.ts";
import { Breaker, type Place } from "./circuit-breaker.ts";
import { HealthChecker } from "./health-checker.ts";
import { Host } from "./host.ts";
import { MOST_STREAMS } from "./http2-connection.ts";

/** Copies that may be on their way to one backend at a time: one that does not answer must not take up all sockets. */
const MOST_MIRRORS = 100;
const NO_ENDPOINTS: readonly Endpoint[] = Object.freeze([]);
const NONE_TRIED: ReadonlySet<string> = new Set();

/** It goes to other processes, so that it is no more than they need to know it by. */
const nameOf = ({ endpoints, state }: ClusterRef): ClusterName => ({ endpoints, state });

interface View {
  readonly of: readonly Endpoint[];
  readonly healthy: readonly Endpoint[];
  readonly preferred: readonly Endpoint[];
  /** Milliseconds that never jump. */
  readonly until: number;
}

/** What became of an endpoint's health. */
export type HealthChange = "ejected" | "unwell" | "well";

export interface ClusterParts {
  readonly random: () => number;
  readonly healthChanged: (change: HealthChange) => void;
  /** Tells the other processes that serve the same table; absent: there are none. */
  readonly tell?: ((news: ClusterNews) => void) | undefined;
  /** That serve the same table, this one included: what each may do alone is its part of what all may. */
  readonly processes: number;
}

/** What is shared by all requests to one backend with equal policies: connections, counts, health and the retry budget. */
export class Cluster {
  readonly #hosts = new Map<string, Host>();
  /** Hosts that may not be what one would choose; empty while all is well, so that choosing costs nothing then. */
  readonly #troubled = new Set<Host>();
  readonly #ref: ClusterRef;
  readonly #random: () => number;
  readonly #healthChanged: (change: HealthChange) => void;
  readonly #tell: ((news: ClusterNews) => void) | undefined;
  readonly #processes: number;
  readonly #breaker: Breaker;
  readonly #checker: HealthChecker | undefined;
  #endpoints: readonly Endpoint[] = NO_ENDPOINTS;
  #last: View | undefined;
  #next = 0;
  #retrying = 0;
  #mirroring = 0;

  constructor(ref: ClusterRef, { random, healthChanged, tell, processes }: ClusterParts) {
    this.#ref = ref;
    this.#random = random;
    this.#healthChanged = healthChanged;
    this.#tell = tell;
    this.#processes = processes;
    const { active, passive, breaker } = ref.policy;
    const perConnection = ref.http === "2" ? MOST_STREAMS : 1;
    this.#breaker = new Breaker(
      breaker,
      perConnection,
      tell && ((load) => tell({ kind: "load", cluster: nameOf(ref), load })),
    );
    if (active !== undefined || passive !== undefined || breaker !== undefined)
      tell?.({ kind: "wanted", cluster: nameOf(ref) });
    if (active !== undefined)
      this.#checker = new HealthChecker(
        active,
        () => this.#endpoints.map((endpoint) => this.#host(endpoint)),
        (host, isWell) => this.#checked(host, isWell),
      );
  }

  get active(): number {
    return this.#breaker.active;
  }

  /** A request's place here; see {@link Breaker.enter}. */
  enter(called: () => void): Place | undefined {
    return this.#breaker.enter(called);
  }

  /** @returns Whether the budget has room for one more retry; if so it must be given back with {@link endRetry}. */
  beginRetry({ budgetPercent, budgetMinConcurrent }: RetryPolicy): boolean {
    const least = Math.ceil(budgetMinConcurrent / this.#processes);
    const allowed = Math.max(least, Math.floor((this.active * budgetPercent) / 100));
    if (this.#retrying >= allowed) return false;
    this.#retrying++;
    return true;
  }

  endRetry(): void {
    this.#retrying--;
  }

  /** @returns Whether there is room for one more copy; if so it must be given back with {@link endMirror}. */
  beginMirror(): boolean {
    if (this.#mirroring >= MOST_MIRRORS / this.#processes) return false;
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
   * @returns      undefined when no endpoint is healthy.
   */
  pick(set: EndpointSet | undefined, tried = NONE_TRIED): Host | undefined {
    this.#endpoints = set?.usable ?? NO_ENDPOINTS;
    const { healthy, preferred } = this.#view();
    const isFresh = (endpoint: Endpoint): boolean => !tried.has(authorityOf(endpoint));
    const choices = tried.size === 0 ? [preferred] : [preferred.filter(isFresh), healthy.filter(isFresh), preferred];
    const candidates = choices.find((list) => list.length > 0) ?? NO_ENDPOINTS;
    const endpoint = candidates.length === 1 ? candidates[0] : this.#choose(candidates);
    return endpoint === undefined ? undefined : this.#host(endpoint);
  }

  /** Whether a request would find an endpoint. */
  hasHealthy(set: EndpointSet | undefined): boolean {
    this.#endpoints = set?.usable ?? NO_ENDPOINTS;
    return this.#view().healthy.length > 0;
  }

  /** What a try has said of its endpoint. */
  succeeded(host: Host): void {
    if (host.outlier?.succeeded() === true) this.#tellOutcome(host, false);
  }

  /** @param refused  No connection could be made. */
  failed(host: Host, refused: boolean): void {
    const now = performance.now();
    if (refused) {
      host.connectFailed(now);
      this.#trouble(host);
    }
    if (host.outlier?.counts(now) === true) this.#tellOutcome(host, true);
    if (this.#ejects(host, now)) this.#healthChanged("ejected");
  }

  /**
   * What another process says of this backend.
   *
   * @param set  The endpoints of the backend.
   */
  heard(from: number, news: ClusterNews, set: EndpointSet | undefined): void {
    if (news.kind === "load") return this.#breaker.heard(from, news.load);
    if (news.kind === "wanted") return this.#tellAll();
    this.#endpoints = set?.usable ?? NO_ENDPOINTS;
    const endpoint = this.#endpoints.find((one) => authorityOf(one) === news.endpoint);
    if (endpoint === undefined) return;
    const host = this.#host(endpoint);
    if (news.kind === "health") {
      host.learn(performance.now(), news.health);
      this.#trouble(host);
    } else if (news.isFailure) this.#ejects(host, performance.now());
    else host.outlier?.succeeded();
  }

  /** Another process has gone. */
  forget(process: number): void {
    this.#breaker.heard(process, undefined);
  }

  /** Forgets endpoints that are gone: their requests in flight end, nothing new is sent. */
  keepOnly(set: EndpointSet | undefined): void {
    this.#endpoints = set?.usable ?? NO_ENDPOINTS;
    const present = new Set(this.#endpoints.map(authorityOf));
    for (const [id, host] of this.#hosts) {
      if (present.has(id)) continue;
      host.pool.close();
      this.#hosts.delete(id);
      this.#troubled.delete(host);
    }
    this.#last = undefined;
  }

  /** Nothing is sent any more. */
  close(): void {
    this.#checker?.stop();
    this.keepOnly(undefined);
  }

  #checked(host: Host, isWell: boolean): void {
    this.#trouble(host);
    this.#healthChanged(isWell ? "well" : "unwell");
  }

  #tellOutcome(host: Host, isFailure: boolean): void {
    this.#tell?.({ kind: "outcome", cluster: nameOf(this.#ref), endpoint: host.pool.authority, isFailure });
  }

  #tellAll(): void {
    this.#breaker.repeat();
    const now = performance.now();
    for (const [endpoint, host] of this.#hosts) {
      const health = host.health(now);
      if (health !== undefined) this.#tell?.({ kind: "health", cluster: nameOf(this.#ref), endpoint, health });
    }
  }

  /** @returns Whether one more failure has led to that. */
  #ejects(host: Host, now: number): boolean {
    if (host.outlier?.failed(now) !== true || !this.#mayEject(now)) return false;
    host.outlier.eject(now);
    this.#trouble(host);
    return true;
  }

  /** @source Envoy's max_ejection_percent: asked before each ejection. */
  #mayEject(now: number): boolean {
    let ejected = 0;
    for (const host of this.#troubled) if (host.outlier?.isEjected(now) === true) ejected++;
    const most = this.#ref.policy.passive?.maxEjectionPercent ?? 0;
    return (ejected * 100) / Math.max(this.#endpoints.length, 1) < most;
  }

  /** Endpoints that may be asked, and those of them that nothing is held against; made again only when that can change. */
  #view(): View {
    const now = performance.now();
    const last = this.#last;
    if (last !== undefined && last.of === this.#endpoints && now < last.until) return last;
    for (const host of this.#troubled) if (host.isHealthy(now) && !host.isAvoided(now)) this.#troubled.delete(host);
    const of = this.#endpoints;
    if (this.#troubled.size === 0) return (this.#last = { of, healthy: of, preferred: of, until: Infinity });
    const troubled = new Map([...this.#troubled].map((host) => [host.pool.authority, host]));
    const healthy = of.filter((endpoint) => troubled.get(authorityOf(endpoint))?.isHealthy(now) !== false);
    const preferred = healthy.filter((endpoint) => troubled.get(authorityOf(endpoint))?.isAvoided(now) !== true);
    const until = Math.min(...[...this.#troubled].map((host) => host.changesAt(now)));
    return (this.#last = { of, healthy, preferred: preferred.length === 0 ? healthy : preferred, until });
  }

  #trouble(host: Host): void {
    // One that is gone says nothing of those that are left.
    if (this.#hosts.get(host.pool.authority) === host) this.#troubled.add(host);
    this.#last = undefined;
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

  #known(endpoint: Endpoint): Host | undefined {
    return this.#hosts.get(authorityOf(endpoint));
  }

  #host(endpoint: Endpoint): Host {
    let host = this.#known(endpoint);
    if (host === undefined) this.#hosts.set(authorityOf(endpoint), (host = new Host(endpoint, this.#ref)));
    return host;
  }
}
