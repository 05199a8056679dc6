import type { EndpointSet, EndpointsKey } from "../../routing/endpoints.ts";
import type { RouteKey } from "../../routing/routing-table.ts";
import type { EndpointLookup } from "../options.ts";
import type { ClusterCache, ClusterUse } from "../resources/cluster-uses.ts";
import { loadAssignment } from "../resources/load-assignment.ts";
import { idOf } from "../resources/resource.ts";
import type { Changes } from "./changes.ts";

const NONE: ReadonlyMap<string, ClusterUse> = new Map();

/** The clusters that routes of one Gateway need, for as long as any does, and their endpoints. */
export class ClusterBook {
  readonly #changes: Changes;
  readonly #cache: ClusterCache;
  readonly #lookup: EndpointLookup;
  readonly #uses = new Map<RouteKey, ReadonlyMap<string, ClusterUse>>();
  /** By cluster: how many routes need it. */
  readonly #users = new Map<string, number>();
  /** By endpoints: how many clusters have them. */
  readonly #clusters = new Map<EndpointsKey, number>();

  constructor(changes: Changes, cache: ClusterCache, lookup: EndpointLookup) {
    this.#changes = changes;
    this.#cache = cache;
    this.#lookup = lookup;
  }

  route(key: RouteKey, uses: ReadonlyMap<string, ClusterUse>): void {
    const old = this.#uses.get(key) ?? NONE;
    if (uses.size === 0) this.#uses.delete(key);
    else this.#uses.set(key, uses);
    for (const [name, use] of uses) if (!old.has(name)) this.#begin(use);
    for (const use of uses.values()) this.#changes.set(this.#cache.resource(use));
    for (const [name, use] of old) if (!uses.has(name)) this.#end(use);
  }

  endpoints(key: EndpointsKey, set: EndpointSet | undefined): void {
    if (this.#clusters.has(key)) this.#changes.set(loadAssignment(key, set));
  }

  #begin({ kind, name, ref: { endpoints } }: ClusterUse): void {
    const users = this.#users.get(name) ?? 0;
    this.#users.set(name, users + 1);
    if (users > 0 || kind === "fallback") return;
    this.#clusters.set(endpoints, (this.#clusters.get(endpoints) ?? 0) + 1);
    this.endpoints(endpoints, this.#lookup(endpoints));
  }

  #end({ kind, name, ref: { endpoints } }: ClusterUse): void {
    const users = (this.#users.get(name) ?? 0) - 1;
    if (users > 0) return void this.#users.set(name, users);
    this.#users.delete(name);
    this.#changes.drop(idOf("Cluster", name));
    if (kind === "fallback") return;
    const clusters = (this.#clusters.get(endpoints) ?? 0) - 1;
    if (clusters > 0) return void this.#clusters.set(endpoints, clusters);
    this.#clusters.delete(endpoints);
    this.#changes.drop(idOf("ClusterLoadAssignment", endpoints));
  }
}
