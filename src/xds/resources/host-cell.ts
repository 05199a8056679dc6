import type { EndpointsKey } from "../../routing/endpoints.ts";
import type { MatchEntry } from "../../routing/precedence.ts";
import type { RouteKey } from "../../routing/routing-table.ts";
import { receiversOf } from "../../routing/rule.ts";
import { usesOfRule } from "./cluster-uses.ts";
import { type ResourceId, idOf } from "./resource.ts";
import { type RouteContext, routesOf } from "./route.ts";
import { hasMirrors } from "./route-variants.ts";
import { followsEndpoints } from "./shares.ts";
import { virtualHost } from "./virtual-host.ts";

/** One hostname of one listener, encoded, with what it depends on. */
export interface HostCell {
  readonly hostname: string;
  readonly bytes: Uint8Array;
  readonly uses: readonly ResourceId[];
  /** Whose matches stand here. */
  readonly routes: ReadonlySet<RouteKey>;
  /** Backends of which it matters here whether they have endpoints. */
  readonly follows: readonly EndpointsKey[];
}

function followedBy({ rule: { action } }: MatchEntry): EndpointsKey[] {
  if (action.kind !== "forward" || !followsEndpoints(action)) return [];
  return receiversOf(action).flatMap(({ target }) => (target.kind === "cluster" ? [target.endpoints] : []));
}

/** Routes of most matches are the same wherever they stand, and are made once. */
export class RouteCache {
  readonly #made = new WeakMap<MatchEntry, readonly Uint8Array[]>();

  routes(entry: MatchEntry, context: RouteContext): readonly Uint8Array[] {
    const { action } = entry.rule;
    if (action.kind === "redirect" || hasMirrors(entry.rule) || (action.kind === "forward" && followsEndpoints(action)))
      return routesOf(entry, context);
    let routes = this.#made.get(entry);
    if (routes === undefined) this.#made.set(entry, (routes = routesOf(entry, context)));
    return routes;
  }
}

export function hostCell(entries: readonly MatchEntry[], context: RouteContext, cache: RouteCache): HostCell {
  const { hostname } = context.place;
  const rules = new Set(entries.map(({ rule }) => rule));
  const names = new Set([...rules].flatMap(usesOfRule).map(({ name }) => name));
  return {
    hostname,
    bytes: virtualHost(
      hostname,
      entries.flatMap((entry) => cache.routes(entry, context)),
      "NoRoute",
      context.options,
    ),
    uses: [...names].sort().map((name) => idOf("Cluster", name)),
    routes: new Set(entries.map(({ rule }) => rule.route)),
    follows: entries.flatMap(followedBy),
  };
}
