import { keyOf } from "../../src/api/keys.ts";
import type { DesiredRouteStatus } from "../../src/routing/status-report.ts";
import type { Output } from "../../src/translate/output.ts";

export function statusOf(output: Output | undefined, name: string, namespace = "default"): DesiredRouteStatus {
  const status = output?.routeStatuses.get(keyOf("ServiceRoute", namespace, name));
  if (status === undefined) throw new Error(`no status for ${namespace}/${name}`);
  return status;
}

/** `status/reason` of a condition, or undefined. */
export function brief(status: DesiredRouteStatus, type: string): string | undefined {
  const found = status.conditions.find((c) => c.type === type);
  return found === undefined ? undefined : `${found.status}/${found.reason}`;
}

export function message(status: DesiredRouteStatus, type: string): string {
  return status.conditions.find((c) => c.type === type)?.message ?? "";
}
