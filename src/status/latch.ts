import type { Condition, DesiredCondition } from "../api/condition.ts";
import { CONTROLLER_NAME } from "../api/kinds.ts";
import type { ServiceRouteStatus } from "../api/service-route.ts";
import type { DesiredGatewayStatus, DesiredRouteStatus, GatewayAddress } from "../routing/status-report.ts";
import type { GatewayStatus } from "./merge.ts";

const LATCHED = ["Programmed", "Ready"];

const isTrue = (conditions: readonly Condition[] | undefined, type: string): boolean =>
  conditions?.find((c) => c.type === type)?.status === "True";

const idOf = ({ parentRef }: { readonly parentRef: object }): string =>
  JSON.stringify(Object.entries(parentRef).sort());

/** Without regard to their order: a status keeps the one that it has. */
const parentsOf = (parents: readonly { readonly parentRef: object }[] | undefined): string =>
  JSON.stringify((parents ?? []).map(idOf).sort());

/**
 * Programmed=True, once said of a generation and its parents, is only taken back by a refusal or a new generation:
 * a restart of the leader, or a replica that joins, counts anew but says nothing worse meanwhile.
 */
export function latched(live: ServiceRouteStatus | undefined, desired: DesiredRouteStatus): DesiredRouteStatus {
  const own = (live?.parents ?? []).filter((parent) => parent.controllerName === CONTROLLER_NAME);
  const said = live?.observedGeneration === desired.generation && isTrue(live.conditions, "Programmed");
  const waits = desired.conditions.some((c) => c.type === "Programmed" && c.status === "Unknown");
  if (!said || !waits || parentsOf(own) !== parentsOf(desired.parents)) return desired;
  const keep = <C extends { readonly type: string }>(
    now: readonly C[],
    before: readonly Condition[] | undefined,
  ): C[] =>
    now.map((c) => {
      const old = LATCHED.includes(c.type) ? before?.find((b) => b.type === c.type) : undefined;
      if (old === undefined) return c;
      const { status, reason, message } = old;
      return { ...c, status, reason, message };
    });
  return {
    ...desired,
    conditions: keep(desired.conditions, live.conditions),
    parents: desired.parents.map((parent) => ({
      ...parent,
      conditions: keep(parent.conditions, own.find((old) => idOf(old) === idOf(parent))?.conditions),
    })),
    summary: { ...desired.summary, proxies: live.summary?.proxies ?? desired.summary.proxies },
  };
}

/** The same for a Gateway: while a new leader waits for its data plane, what was programmed stays so, addresses too. */
export function latchedGateway(live: GatewayStatus | undefined, desired: DesiredGatewayStatus): DesiredGatewayStatus {
  const old = live?.conditions?.find((c) => c.type === "Programmed");
  const now = desired.conditions.find((c) => c.type === "Programmed");
  if (now?.status !== "Unknown") return desired;
  // What listened a moment ago still does: an edit is no reason to take a name out of the DNS.
  const addresses = (live?.addresses ?? []).map(({ type, value }): GatewayAddress => ({
    type: type === "Hostname" ? type : "IPAddress",
    value,
  }));
  if (old?.status !== "True" || old.observedGeneration !== desired.generation) return { ...desired, addresses };
  const keep = (
    conditions: readonly DesiredCondition[],
    before: readonly Condition[] | undefined,
  ): DesiredCondition[] =>
    conditions.map((c) => {
      const was = before?.find((b) => b.type === c.type);
      if (c.type !== "Programmed" || c.status !== "Unknown" || was === undefined) return c;
      return { ...c, status: was.status, reason: was.reason, message: was.message };
    });
  const listenerBefore = (name: string) => live?.listeners?.find((one) => one.name === name)?.conditions;
  return {
    ...desired,
    addresses,
    conditions: keep(desired.conditions, live?.conditions),
    listeners: desired.listeners.map((listener) => ({
      ...listener,
      conditions: keep(listener.conditions, listenerBefore(listener.name)),
    })),
  };
}
