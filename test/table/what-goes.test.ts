import { expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import type { ListenerId } from "../../src/routing/listener.ts";
import { brief, statusOf } from "../support/conditions.ts";
import { HTTP, gatewayYaml } from "../support/gateways.ts";
import { pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

const GATEWAY = keyOf("Gateway", "default", "gw");
const ROUTE = keyOf("ServiceRoute", "default", "r");
const LISTENER = "default/gw/http" as ListenerId;
const route = routeYaml("r", "rules: [{backendRefs: [{name: web, port: 80}]}]");

test("a route of the name of one that is gone inherits nothing that was said of it", () => {
  const rig = pipeline();
  rig.apply(serviceYaml("web") + route);
  rig.translator.setListenerState("/builtin/http" as ListenerId, { kind: "serving" });
  rig.translator.setLiveness(ROUTE, { generation: 0, live: 1, total: 1 });
  expect(brief(statusOf(rig.settle(), "r"), "Programmed")).toBe("True/Programmed");
  rig.store.remove(ROUTE);
  const gone = rig.settle();
  expect([gone?.routeStatuses.get(ROUTE), gone?.translations.has(ROUTE)]).toEqual([undefined, true]);
  expect(brief(statusOf(rig.apply(route), "r"), "Programmed")).toBe("Unknown/Pending");
});

test("of a Gateway that is gone nothing is said any more, whatever its data plane still tells", () => {
  const rig = pipeline();
  rig.apply(gatewayYaml("gw"));
  expect(rig.translator.table.listeners.has(LISTENER)).toBe(true);
  rig.store.remove(GATEWAY);
  const gone = rig.settle();
  expect([gone?.gatewayStatuses.get(GATEWAY), rig.translator.table.listeners.has(LISTENER)]).toEqual([
    undefined,
    false,
  ]);
  rig.translator.setListenerState(LISTENER, { kind: "serving" });
  expect(rig.settle()?.gatewayStatuses.size ?? 0).toBe(0);
});

test("a listener that is refused is in no table, and back when it is mended", () => {
  const rig = pipeline();
  const twice = gatewayYaml("gw", `${HTTP}, {name: other, port: 80, protocol: HTTP}`);
  const served = (): string[] =>
    [...rig.translator.table.listeners.values()].filter(({ gateway }) => gateway === GATEWAY).map(({ name }) => name);
  for (const [yaml, want] of [
    [twice, []],
    [gatewayYaml("gw"), ["http"]],
    [gatewayYaml("gw", `${HTTP}, {name: sctp, port: 81, protocol: SCTP}`), ["http"]],
    [gatewayYaml("gw", HTTP, ", infrastructure: {parametersRef: {group: g, kind: K, name: n}}"), []],
  ] as const) {
    rig.apply(yaml);
    expect(served()).toEqual(want);
  }
});

test("a listener that fails takes no address from those that serve", () => {
  const rig = pipeline();
  rig.apply(gatewayYaml("gw", `${HTTP}, {name: other, port: 81, protocol: HTTP}`));
  const state = { kind: "failed", reason: "PortUnavailable", message: "in use" } as const;
  rig.translator.setListenerState(LISTENER, { kind: "serving" });
  rig.translator.setListenerState("default/gw/other" as ListenerId, state);
  expect(rig.settle()?.gatewayStatuses.get(GATEWAY)?.addresses).toEqual([{ type: "IPAddress", value: "127.0.0.1" }]);
});
