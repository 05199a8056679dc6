import { describe, expect, test } from "vitest";
import type { ListenerId } from "../../src/routing/listener.ts";
import { HTTP, gatewayYaml, said, statusOf } from "../support/gateways.ts";
import { type Pipeline, pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

describe("a Gateway behind a Service", () => {
  const behind = { gatewayServices: true };
  const gateway = (name: string, more = "", created = "2026-01-01"): string =>
    gatewayYaml(name, HTTP, more, `, uid: ${name}, creationTimestamp: "${created}T00:00:00Z"`);
  const service = (name: string, spec: string, status = "", owner = name): string =>
    `---\napiVersion: v1\nkind: Service\nmetadata: {name: ${name}-serviceroute, ownerReferences: [{kind: Gateway, name: ${name}, uid: ${owner}, controller: true}]}\nspec: {${spec}}\n${status}`;
  const ports = (target: number | string): string => `ports: [{name: a, port: 80, targetPort: ${target}}]`;
  const bound = (rig: Pipeline, name = "gw"): number | undefined =>
    rig.translator.table.listeners.get(`default/${name}/http` as ListenerId)?.bindPort;
  const bindPort = (yaml: string): number | undefined => {
    const rig = pipeline(behind);
    rig.apply(yaml);
    return bound(rig);
  };

  test("its target ports are bound, none but those that are ours to give", () => {
    expect(bindPort(gateway("gw"))).toBeUndefined();
    expect(bindPort(gateway("gw") + service("gw", `clusterIP: 203.0.113.5, ${ports(20_001)}`))).toBe(20_001);
    expect(bindPort(gateway("gw") + service("gw", "clusterIP: 203.0.113.5"))).toBeUndefined();
    expect(bindPort(gateway("gw") + service("gw", "ports: [{port: 81, targetPort: 20001}]"))).toBeUndefined();
    for (const target of ["http", 80, 8080, 19_999, 30_000])
      expect(bindPort(gateway("gw") + service("gw", ports(target)))).toBeUndefined();
  });

  test("its addresses are published, a name where there is only that", () => {
    const published = (spec: string, status = ""): unknown =>
      statusOf(gateway("gw") + service("gw", spec, status), "gw", behind).addresses;
    const ip = (value: string) => ({ type: "IPAddress", value });
    const balanced = (...list: string[]): string => `status: {loadBalancer: {ingress: [${list.join(", ")}]}}\n`;
    const own = `clusterIP: 203.0.113.5, ${ports(20_001)}`;
    expect(published(own)).toEqual([ip("203.0.113.5")]);
    expect(published(own, "status: {loadBalancer: {}}\n")).toEqual([ip("203.0.113.5")]);
    expect(published(own, balanced("{ip: 192.0.2.7}", "{ip: 192.0.2.8}"))).toEqual([ip("192.0.2.7"), ip("192.0.2.8")]);
    expect(published(own, balanced("{hostname: lb.example.com}", "{}"))).toEqual([
      { type: "Hostname", value: "lb.example.com" },
    ]);
    expect(published(`clusterIP: None, ${ports(20_001)}`)).toEqual([]);
  });

  test.for(["", "another"])("one that was not made for this Gateway (%s) is left alone, and told of", (owner) => {
    const foreign = service("gw", ports(20_001), "", owner === "" ? '""' : owner);
    const status = statusOf(gateway("gw") + foreign, "gw", behind);
    expect(said(status.conditions, "Programmed")).toBe(
      "False/AddressNotUsable: Service default/gw-serviceroute is there already and not this Gateway's; remove it or rename the Gateway",
    );
    expect(bindPort(gateway("gw") + foreign)).toBeUndefined();
  });

  test("an address that a Gateway asks for is not silently given another way", () => {
    const status = statusOf(gateway("gw", ", addresses: [{value: 203.0.113.9}]"), "gw", behind);
    expect(said(status.conditions, "Programmed")).toBe(
      "False/AddressNotUsable: 203.0.113.9 cannot be asked for: the load balancer of the Gateway's Service decides",
    );
  });

  test("who has a port keeps it, though an older Gateway's Service is edited to lead to it", () => {
    const rig = pipeline(behind);
    rig.apply(gateway("victim", "", "2026-02-02") + service("victim", ports(20_001)));
    rig.apply(gateway("evil") + service("evil", ports(20_002)));
    rig.apply(service("evil", ports(20_001)));
    expect([bound(rig, "victim"), bound(rig, "evil")]).toEqual([20_001, undefined]);
    const status = rig.settle();
    expect(status).toBeUndefined();
    rig.apply(service("evil", ports(20_002)));
    expect([bound(rig, "victim"), bound(rig, "evil")]).toEqual([20_001, 20_002]);
  });

  test("an address that its Service is given, or an edit of what no route depends on, translates no route again", () => {
    const rig = pipeline(behind);
    const own = `clusterIP: 203.0.113.5, ${ports(20_001)}`;
    rig.apply(
      gateway("gw") +
        service("gw", own) +
        serviceYaml("web") +
        routeYaml("r", "parentRefs: [{name: gw}]\nrules: [{backendRefs: [{name: web, port: 80}]}]"),
    );
    const balanced = service("gw", own, "status: {loadBalancer: {ingress: [{ip: 192.0.2.7}]}}\n");
    for (const yaml of [balanced, gateway("gw", ", infrastructure: {labels: {a: b}}")]) {
      const output = rig.apply(yaml);
      expect([output?.diff.routes.size ?? 0, output?.translations.size ?? 0]).toEqual([0, 0]);
    }
    const closed = gateway("gw").replace("port: 80,", "port: 80, hostname: x.test,");
    expect(rig.apply(closed)?.translations.size).toBe(1);
  });
});
