import { isDeepStrictEqual } from "node:util";
import type { Condition, DesiredCondition } from "../api/condition.ts";
import { CONTROLLER_NAME } from "../api/kinds.ts";
import type { RouteParentStatus, ServiceRouteStatus } from "../api/service-route.ts";
import type { DesiredGatewayStatus } from "../routing/status-report.ts";
import type { DesiredRouteStatus } from "../routing/status-report.ts";

/** `desired` with transition times: kept from `live` unless the status of the condition flipped (F14). */
export function mergeConditions(
  live: readonly Condition[],
  desired: readonly DesiredCondition[],
  now: string,
): Condition[] {
  return desired.map((d) => {
    const old = live.find((c) => c.type === d.type);
    return { ...d, lastTransitionTime: old?.status === d.status ? old.lastTransitionTime : now };
  });
}

/** Entries of other controllers stay as they are, where they are. */
function mergeParents(
  live: readonly RouteParentStatus[],
  desired: DesiredRouteStatus["parents"],
  now: string,
): RouteParentStatus[] {
  const foreign = live.filter((parent) => parent.controllerName !== CONTROLLER_NAME);
  const own = desired.map((parent) => {
    const old = live.find(
      (one) => one.controllerName === CONTROLLER_NAME && isDeepStrictEqual(one.parentRef, parent.parentRef),
    );
    return { ...parent, conditions: mergeConditions(old?.conditions ?? [], parent.conditions, now) };
  });
  return [...foreign, ...own];
}

/**
 * The status of a route to write over `live`.
 *
 * @param now  RFC 3339.
 * @returns    `live` itself when nothing differs: nothing is to be written.
 */
export function mergeRouteStatus(
  live: ServiceRouteStatus | undefined,
  desired: DesiredRouteStatus,
  now: string,
): ServiceRouteStatus {
  const merged: ServiceRouteStatus = {
    observedGeneration: desired.generation,
    conditions: mergeConditions(live?.conditions ?? [], desired.conditions, now),
    parents: mergeParents(live?.parents ?? [], desired.parents, now),
    rules: desired.rules,
    summary: desired.summary,
  };
  return live !== undefined && isDeepStrictEqual(live, merged) ? live : merged;
}

export interface GatewayStatus {
  addresses?: { type?: string; value: string }[];
  conditions?: Condition[];
  listeners?: {
    name: string;
    attachedRoutes: number;
    supportedKinds?: { group?: string; kind: string }[];
    conditions: Condition[];
  }[];
}

export function mergeGatewayStatus(
  live: GatewayStatus | undefined,
  desired: DesiredGatewayStatus,
  now: string,
): GatewayStatus {
  const merged: GatewayStatus = {
    addresses: desired.addresses.map((address) => ({ ...address })),
    conditions: mergeConditions(live?.conditions ?? [], desired.conditions, now),
    listeners: desired.listeners.map((listener) => ({
      ...listener,
      supportedKinds: listener.supportedKinds.map((kind) => ({ ...kind })),
      conditions: mergeConditions(
        live?.listeners?.find((one) => one.name === listener.name)?.conditions ?? [],
        listener.conditions,
        now,
      ),
    })),
  };
  return live !== undefined && isDeepStrictEqual(live, merged) ? live : merged;
}
