import type { Key } from "../api/keys.ts";
import { type Liveness as RouteLiveness, type Served, servedBy } from "../routing/programmed.ts";
import type { RouteKey } from "../routing/routing-table.ts";
import type { LivenessCount, Version } from "./liveness.ts";

type ByGateway = ReadonlyMap<Key<"Gateway">, Served>;

const isServed = (all: ByGateway): boolean =>
  [...all.values()].every(({ live, total, rejected }) => total > 0 && live === total && rejected === undefined);

/**
 * Joins what proxies say of each route with the generation that they were given. Once all serve it, that is latched: only
 * another generation, or a proxy that refuses it, takes it back.
 */
export class ProxyLiveness implements LivenessCount {
  readonly #set: (key: RouteKey, liveness: RouteLiveness) => void;
  readonly #said = new Map<RouteKey, ByGateway>();
  readonly #versions = new Map<RouteKey, { readonly text: string; readonly generation: number; isSettled: boolean }>();

  constructor(set: (key: RouteKey, liveness: RouteLiveness) => void) {
    this.#set = set;
  }

  /** The proxies' resources have the route, of this version. */
  published(key: RouteKey, { uid, generation }: Version): void {
    const text = `${uid}/${generation}`;
    if (this.#versions.get(key)?.text === text) return;
    this.#versions.set(key, { text, generation, isSettled: false });
    this.#check(key);
  }

  /** What proxies say of the route as it was published last; of no Gateway when it is gone. */
  said(key: RouteKey, byGateway: ByGateway): void {
    if (byGateway.size === 0) return void this.#said.delete(key);
    this.#said.set(key, byGateway);
    this.#check(key);
  }

  /** Another object of the name is another version. What proxies say of it they may have said already. */
  forget(key: RouteKey): void {
    this.#versions.delete(key);
  }

  reported(): void {
    // With proxies there is one replica: those of others would not be counted.
  }

  #check(key: RouteKey): void {
    const version = this.#versions.get(key);
    const byGateway = this.#said.get(key);
    if (version === undefined || byGateway === undefined) return;
    const together = servedBy(byGateway.values());
    if (version.isSettled && together.rejected === undefined) return;
    version.isSettled = isServed(byGateway);
    this.#set(key, { generation: version.generation, ...together, byGateway });
  }
}
