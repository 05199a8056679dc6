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

/** Our entries replaced where they stand, those of others left as they are and where they are, new ones at the end. */
function mergeParents(
  live: readonly RouteParentStatus[],
  desired: DesiredRouteStatus["parents"],
  now: string,
): RouteParentStatus[] {
  const isOwn = (parent: RouteParentStatus): boolean => parent.controllerName === CONTROLLER_NAME;
  const merged = (parent: DesiredRouteStatus["parents"][number], old?: RouteParentStatus): RouteParentStatus => ({
    ...parent,
    conditions: mergeConditions(old?.conditions ?? [], parent.conditions, now),
  });
  const kept = live.flatMap((parent) => {
    if (!isOwn(parent)) return [parent];
    const next = desired.find((one) => isDeepStrictEqual(parent.parentRef, one.parentRef));
    return next === undefined ? [] : [merged(next, parent)];
  });
  const added = desired.filter(
    (parent) => !live.some((old) => isOwn(old) && isDeepStrictEqual(old.parentRef, parent.parentRef)),
  );
  return [...kept, ...added.map((parent) => merged(parent))];
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

/** Conditions that are not ours stay, behind ours. */
function withForeign(live: readonly Condition[], own: readonly Condition[]): Condition[] {
  return [...own, ...live.filter((old) => !own.some((c) => c.type === old.type))];
}

const byType = (conditions: readonly Condition[]): Condition[] =>
  conditions.toSorted((a, b) => (a.type < b.type ? -1 : 1));

/** Like {@link mergeRouteStatus}. Fields of the status that others write are no reason to write. */
export function mergeGatewayStatus(
  live: GatewayStatus | undefined,
  desired: DesiredGatewayStatus,
  now: string,
): GatewayStatus {
  const before = live?.conditions ?? [];
  const merged: Required<GatewayStatus> = {
    addresses: desired.addresses.map((address) => ({ ...address })),
    conditions: withForeign(before, mergeConditions(before, desired.conditions, now)),
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
  const owned = { addresses: live?.addresses ?? [], conditions: byType(before), listeners: live?.listeners ?? [] };
  return live !== undefined && isDeepStrictEqual(owned, { ...merged, conditions: byType(merged.conditions) })
    ? live
    : merged;
}
