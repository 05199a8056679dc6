import { keyOf } from "../../src/api/keys.ts";
import type { DesiredGatewayStatus } from "../../src/routing/status-report.ts";
import { pipeline } from "./objects.ts";

export const HTTP = "{name: http, port: 80, protocol: HTTP}";
export function gatewayYaml(name: string, listeners = HTTP, spec = "", metadata = ""): string {
  return `---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: ${name}${metadata}}\nspec: {gatewayClassName: serviceroute, listeners: [${listeners}]${spec}}\n`;
}

/** The Gateway's status with every listener that could be served bound, or as `states` says. */
export function statusOf(yaml: string, name = "gw", options = {}, serving = true): DesiredGatewayStatus {
  const rig = pipeline(options);
  rig.apply(yaml);
  for (const id of rig.translator.table.listeners.keys())
    if (serving) rig.translator.setListenerState(id, { kind: "serving" });
  const output = rig.settle();
  const fresh = pipeline(options);
  const first = fresh.apply(yaml);
  const key = keyOf("Gateway", "default", name);
  const status = output?.gatewayStatuses.get(key) ?? first?.gatewayStatuses.get(key);
  if (status === undefined) throw new Error(`Gateway ${name} has no status`);
  return status;
}
export const said = (
  conditions: readonly { type: string; status: string; reason: string; message: string }[],
  type: string,
) => {
  const found = conditions.find((one) => one.type === type);
  return `${found?.status}/${found?.reason}: ${found?.message}`;
};
