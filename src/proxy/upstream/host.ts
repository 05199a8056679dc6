import { type Endpoint, authorityOf } from "../../routing/endpoints.ts";
import type { EndpointHealth } from "../../routing/cluster-news.ts";
import type { ClusterRef } from "../../routing/rule.ts";
import type { EndpointPool } from "./attempt.ts";
import { OutlierDetector } from "./outlier-detector.ts";
import { Http1Pool } from "./http1-pool.ts";
import { Http2Pool } from "./http2-pool.ts";

const AVOID_MS = 1000;

/** An endpoint as one cluster sees it: its connections, and what is known of its health. */
export class Host {
  readonly endpoint: Endpoint;
  readonly pool: EndpointPool;
  readonly outlier: OutlierDetector | undefined;
  /** What the last checks said; true before the first. */
  isWell = true;
  #avoidUntil = 0;

  constructor(endpoint: Endpoint, { http, tls, policy: { passive } }: ClusterRef) {
    this.endpoint = endpoint;
    const authority = authorityOf(endpoint);
    this.outlier = passive === undefined ? undefined : new OutlierDetector(passive);
    this.pool = http === "2" ? new Http2Pool(authority, tls) : new Http1Pool(authority, tls);
  }

  /** Connections that are joined to it as they are. */
  tunnels = 0;

  get active(): number {
    return this.pool.active + this.tunnels;
  }

  /** Others are preferred for a second: an endpoint that refuses is the least busy one, and would draw all tries. */
  connectFailed(nowMs: number): void {
    this.#avoidUntil = nowMs + AVOID_MS;
  }

  /** Whether requests may be given to it. */
  isHealthy(nowMs: number): boolean {
    return this.isWell && this.outlier?.isEjected(nowMs) !== true;
  }

  /** What another process has to know of it; undefined: nothing. */
  health(nowMs: number): EndpointHealth | undefined {
    const passive = this.outlier?.health(nowMs) ?? { failures: 0, ejectedForMs: 0, factor: 0 };
    const isNothing = this.isWell && passive.failures + passive.ejectedForMs === 0;
    return isNothing ? undefined : { isWell: this.isWell, ...passive };
  }

  /** What another process knows of it. An endpoint that it holds for unwell is asked soon. */
  learn(nowMs: number, health: EndpointHealth): void {
    this.isWell &&= health.isWell;
    this.outlier?.learn(nowMs, health);
  }

  /** When the first thing that is held against it is over; never, where only a check can tell. */
  changesAt(nowMs: number): number {
    const times = [this.#avoidUntil, this.outlier?.ejectedUntil ?? 0].filter((time) => time > nowMs);
    return Math.min(Infinity, ...times);
  }

  isAvoided(nowMs: number): boolean {
    return nowMs < this.#avoidUntil;
  }
}
