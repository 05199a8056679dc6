import type { Condition } from "../api/condition.ts";
import type { ServiceRouteStatus } from "../api/service-route.ts";
import type { DesiredRouteStatus } from "../routing/status-report.ts";

const LATCHED = ["Programmed", "Ready"];

const isTrue = (conditions: readonly Condition[] | undefined, type: string): boolean =>
  conditions?.find((c) => c.type === type)?.status === "True";

const parentsOf = (parents: readonly { readonly parentRef: object }[] | undefined): string =>
  JSON.stringify((parents ?? []).map(({ parentRef }) => Object.entries(parentRef).sort()));

/**
 * Programmed=True, once said of a generation and its parents, is only taken back by a refusal or a new generation:
 * a restart of the leader, or a replica that joins, counts anew but says nothing worse meanwhile.
 */
export function latched(live: ServiceRouteStatus | undefined, desired: DesiredRouteStatus): DesiredRouteStatus {
  const said = live?.observedGeneration === desired.generation && isTrue(live.conditions, "Programmed");
  const waits = desired.conditions.some((c) => c.type === "Programmed" && c.status === "Unknown");
  if (!said || !waits || parentsOf(live.parents) !== parentsOf(desired.parents)) return desired;
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
    parents: desired.parents.map((parent, i) => ({
      ...parent,
      conditions: keep(parent.conditions, live.parents?.[i]?.conditions),
    })),
    summary: { ...desired.summary, proxies: live.summary?.proxies ?? desired.summary.proxies },
  };
}
