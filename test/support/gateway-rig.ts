import type { GatewayOptions } from "../../src/proxy/gateway-context.ts";
import { afterEach } from "vitest";
import { Backend } from "./backend.ts";
import { type DataPlaneRig, startEmbedded } from "./data-plane.ts";

/** Run after each test, the last first. */
export const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A gateway in this process, and a backend for it to send to. */
export async function rigWith(serving: Partial<GatewayOptions> = {}): Promise<{ rig: DataPlaneRig; web: Backend }> {
  const web = await new Backend("web").start();
  const rig = await startEmbedded(serving);
  cleanups.push(
    async () => web.stop(),
    async () => rig.close(),
  );
  return { rig, web };
}

/** Rules that send everything to it. */
export const WEB = "rules: [{backendRefs: [{name: web, port: 80}]}]";
/** A default Gateway with these listeners; PORT in them is the port. */
export const GATEWAY = (port: number, listeners: string): string => `---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, annotations: {serviceroute.dev/default-scope: All}}
spec:
  gatewayClassName: serviceroute
  listeners: [${listeners.replaceAll("PORT", String(port))}]
`;
