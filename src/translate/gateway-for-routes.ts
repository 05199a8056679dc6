import type { Key } from "../api/keys.ts";
import type { GatewayView, ListenerView } from "./gateways.ts";

/** Of a Gateway what decides about routes, and nothing else: its addresses and its generation change without them. */
export interface GatewayForRoutes {
  readonly key: Key<"Gateway">;
  readonly namespace: string;
  readonly listeners: readonly (Pick<
    ListenerView,
    "id" | "name" | "port" | "protocol" | "hostname" | "allowsServiceRoute" | "from" | "selector"
  > & { readonly isServable: boolean })[];
}

export function forRoutes({ key, namespace, address, invalidParameters, listeners }: GatewayView): GatewayForRoutes {
  const isRefused = !address.ok || invalidParameters !== undefined;
  return {
    key,
    namespace,
    listeners: listeners.map(({ id, name, port, protocol, hostname, allowsServiceRoute, from, selector, refusal }) => {
      const isServable = refusal === undefined && !isRefused;
      return { id, name, port, protocol, hostname, allowsServiceRoute, from, selector, isServable };
    }),
  };
}

/** Gateways of ours as a route sees them: only those that it asks for concern it. */
export interface GatewayLookup {
  get(key: Key<"Gateway">): GatewayForRoutes | undefined;
  defaults(): readonly GatewayForRoutes[];
}
