import { describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import { latchedGateway } from "../../src/status/latch.ts";
import type { GatewayStatus } from "../../src/status/merge.ts";
import type { ListenerId } from "../../src/routing/listener.ts";
import { ownPorts, rankOf } from "../../src/routing/service-ports.ts";
import { HTTP, gatewayYaml, said, statusOf } from "../support/gateways.ts";
import { type Pipeline, pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

const GW = keyOf("Gateway", "default", "gw");
/** The first container port of the Gateway `gw`. */
const [BEST = 0] = ownPorts("gw");

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
    expect(bindPort(gateway("gw") + service("gw", `clusterIP: 203.0.113.5, ${ports(BEST)}`))).toBe(BEST);
    expect(bindPort(gateway("gw") + service("gw", "clusterIP: 203.0.113.5"))).toBeUndefined();
    expect(bindPort(gateway("gw") + service("gw", `ports: [{port: 81, targetPort: ${BEST}}]`))).toBeUndefined();
    for (const target of ["http", 80, 8080, 19_999, 30_000])
      expect(bindPort(gateway("gw") + service("gw", ports(target)))).toBeUndefined();
  });

  test("its addresses are published, a name where there is only that", () => {
    const published = (spec: string, status = ""): unknown =>
      statusOf(gateway("gw") + service("gw", spec, status), "gw", behind).addresses;
    const ip = (value: string) => ({ type: "IPAddress", value });
    const balanced = (...list: string[]): string => `status: {loadBalancer: {ingress: [${list.join(", ")}]}}\n`;
    const own = `clusterIP: 203.0.113.5, ${ports(BEST)}`;
    expect(published(own)).toEqual([ip("203.0.113.5")]);
    expect(published(own, "status: {loadBalancer: {}}\n")).toEqual([ip("203.0.113.5")]);
    expect(published(own, balanced("{ip: 192.0.2.7}", "{ip: 192.0.2.8}"))).toEqual([ip("192.0.2.7"), ip("192.0.2.8")]);
    expect(published(own, balanced("{hostname: lb.example.com}", "{}"))).toEqual([
      { type: "Hostname", value: "lb.example.com" },
    ]);
    for (const none of ["clusterIP: None, ", ""]) expect(published(`${none}${ports(BEST)}`)).toEqual([]);
  });

  test.for(["", "another"])("one that was not made for this Gateway (%s) is left alone, and told of", (owner) => {
    const foreign = service("gw", ports(BEST), "", owner === "" ? '""' : owner);
    const status = statusOf(gateway("gw") + foreign, "gw", behind);
    expect(said(status.conditions, "Programmed")).toBe(
      "False/AddressNotUsable: Service default/gw-serviceroute is there already and not this Gateway's; remove it or rename the Gateway",
    );
    expect(bindPort(gateway("gw") + foreign)).toBeUndefined();
  });

  test("whose Service goes is not programmed any more, and its routes neither, whatever was said before", () => {
    const rig = pipeline(behind);
    const all = gateway("gw") + service("gw", `clusterIP: 203.0.113.5, ${ports(BEST)}`);
    const web = routeYaml(
      "r",
      "parentRefs: [{name: gw}]\nrules: [{filters: [{type: RequestRedirect, requestRedirect: {hostname: x.test}}]}]",
    );
    rig.apply(all + web);
    rig.translator.setListenerState("default/gw/http" as ListenerId, { kind: "serving" });
    const served = rig.settle()?.gatewayStatuses.get(GW);
    expect(said(served!.conditions, "Programmed")).toContain("True/Programmed");
    const live = { ...served!, conditions: served!.conditions.map((c) => ({ ...c, lastTransitionTime: "" })) };
    rig.store.remove(keyOf("Service", "default", "gw-serviceroute"));
    rig.translator.setListenerState("default/gw/http" as ListenerId, undefined);
    const output = rig.settle();
    const now = latchedGateway(live as unknown as GatewayStatus, output!.gatewayStatuses.get(GW)!);
    const why = "The Gateway's Service leads port 80 nowhere: it is being made or mended.";
    expect([said(now.conditions, "Programmed"), now.addresses]).toEqual([`False/AddressNotAssigned: ${why}`, []]);
    const [route] = output!.routeStatuses.values();
    expect(said(route!.conditions, "Programmed")).toBe(
      "False/ListenerNotProgrammed: Listener default/gw/http has no port at its Gateway's Service; the status of its Gateway says more.",
    );
  });

  test("an address that a Gateway asks for is not silently given another way", () => {
    const status = statusOf(gateway("gw", ", addresses: [{value: 203.0.113.9}]"), "gw", behind);
    expect(said(status.conditions, "Programmed")).toBe(
      "False/AddressNotUsable: 203.0.113.9 cannot be asked for: the load balancer of the Gateway's Service decides",
    );
  });

  describe("whose Service is edited to lead to another's port", () => {
    // Ranks are of uids: this one is older, and the port of the other is one of its own, far down.
    const victim = "victim";
    const port = ownPorts(victim)[0]!;
    const evil = Array.from({ length: 10_000 }, (_, i) => `evil-${i}`).find((uid) => rankOf(uid, port) < 128)!;
    const elsewhere = ownPorts(evil)[0]!;
    const before = gateway(victim, "", "2026-02-02") + service(victim, ports(port)) + gateway(evil);

    test("who has it keeps it, even where it comes first for the other", () => {
      const late = ownPorts(victim)[9]!;
      const first = Array.from({ length: 10_000 }, (_, i) => `first-${i}`).find((uid) => rankOf(uid, late) < 5)!;
      const rig = pipeline(behind);
      rig.apply(gateway(victim, "", "2026-02-02") + service(victim, ports(late)) + gateway(first));
      rig.apply(service(first, ports(late)));
      expect([bound(rig, victim), bound(rig, first)]).toEqual([late, undefined]);
      const own = ownPorts(first)[6]!;
      rig.apply(service(first, ports(own)));
      expect([bound(rig, victim), bound(rig, first)]).toEqual([late, own]);
    });

    test("a replica that starts meanwhile knows whose it is", () => {
      const rig = pipeline(behind);
      rig.apply(before + service(evil, ports(port)));
      expect([bound(rig, victim), bound(rig, evil)]).toEqual([port, undefined]);
    });

    test("a port besides, of another protocol, changes nothing", () => {
      const rig = pipeline(behind);
      const both = `ports: [{name: a, port: 80, targetPort: ${elsewhere}}, {name: b, port: 80, protocol: UDP, targetPort: ${ownPorts(evil)[1]!}}]`;
      rig.apply(before + service(evil, both));
      expect([bound(rig, victim), bound(rig, evil)]).toEqual([port, elsewhere]);
    });
  });

  test("an address that its Service is given, or an edit of what no route depends on, translates no route again", () => {
    const rig = pipeline(behind);
    const own = `clusterIP: 203.0.113.5, ${ports(BEST)}`;
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
