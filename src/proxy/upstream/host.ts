import { type Endpoint, authorityOf } from "../../routing/endpoints.ts";
import type { ClusterRef } from "../../routing/rule.ts";
import type { EndpointPool } from "./attempt.ts";
import { Http1Pool } from "./http1-pool.ts";
import { Http2Pool } from "./http2-pool.ts";

const AVOID_MS = 1000;

/** An endpoint as one cluster sees it: its connections, and what is known of its health. */
export class Host {
  readonly endpoint: Endpoint;
  readonly pool: EndpointPool;
  #avoidUntil = 0;

  constructor(endpoint: Endpoint, { http, tls }: Pick<ClusterRef, "http" | "tls">) {
    this.endpoint = endpoint;
    const authority = authorityOf(endpoint);
    this.pool = http === "2" ? new Http2Pool(authority, tls) : new Http1Pool(authority, tls);
  }

  get active(): number {
    return this.pool.active;
  }

  /** Others are preferred for a second: an endpoint that refuses is the least busy one, and would draw all tries. */
  connectFailed(nowMs: number): void {
    this.#avoidUntil = nowMs + AVOID_MS;
  }

  isAvoided(nowMs: number): boolean {
    return nowMs < this.#avoidUntil;
  }
}
