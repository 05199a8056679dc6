import { type RemoteInfo, type Socket, createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { test } from "../support/contract.ts";
import { type DataPlaneRig, until } from "../support/data-plane.ts";
import { freePort } from "../support/ports.ts";
import { datagramServiceYaml, routeYaml, serviceYaml } from "../support/objects.ts";

type Answer = (bytes: Buffer, from: RemoteInfo) => Buffer | undefined;

/** An A record for whatever is asked: the question again, with one answer. */
const resolved =
  (...address: readonly number[]): Answer =>
  (query) => {
    const question = query.subarray(12, query.indexOf(0, 12) + 5);
    const head = Buffer.from([...query.subarray(0, 2), 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    return Buffer.concat([head, question, Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address])]);
  };

/** Datagrams, on any data plane. */
export function describeUdp(name: string, start: () => Promise<DataPlaneRig>): void {
  describe(`${name}: UDP`, () => {
    let rig: DataPlaneRig;
    let port: number;
    const sockets: Socket[] = [];

    beforeAll(async () => {
      rig = await start();
      port = await freePort();
    });
    afterAll(async () => {
      await rig.close();
      for (const socket of sockets) socket.close();
    });

    const bound = async (): Promise<Socket> => {
      const socket = createSocket("udp4");
      sockets.push(socket);
      socket.bind(0, "127.0.0.1");
      await once(socket, "listening");
      return socket;
    };
    const serving = async (answer: Answer): Promise<{ readonly port: number; readonly clients: Set<number> }> => {
      const socket = await bound();
      const clients = new Set<number>();
      socket.on("message", (bytes, from) => {
        clients.add(from.port);
        const said = answer(bytes, from);
        if (said !== undefined) socket.send(said, from.port, from.address);
      });
      return { port: socket.address().port, clients };
    };
    const echo = async (says: string): Promise<number> =>
      (await serving((bytes) => Buffer.from(`${says}${bytes.toString()}`))).port;

    /** One client, whose answers come in order of arrival. */
    const client = async (): Promise<{ ask(text: string, withinMs?: number): Promise<string> }> => {
      const socket = await bound();
      return {
        ask: async (text, withinMs = 2000) => {
          const answer = once(socket, "message", { signal: AbortSignal.timeout(withinMs) });
          socket.send(text, port, "127.0.0.1");
          return answer.then(
            ([bytes]: Buffer[]) => bytes?.toString() ?? "",
            () => "nothing",
          );
        },
      };
    };
    const gateway = (listeners = "{name: main, port: PORT, protocol: UDP}"): string => `---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, annotations: {serviceroute.dev/default-scope: All}}
spec: {gatewayClassName: serviceroute, listeners: [${listeners.replaceAll("PORT", String(port))}]}
`;
    const WEB = "backendRefs: [{name: web, port: 80}]";
    const on = (rule: string, parent = "{name: gw, sectionName: main}"): string =>
      routeYaml("r", `parentRefs: [${parent}]\nrules: [{${rule}}]`);
    const metric = async (name: string): Promise<number> =>
      Number(new RegExp(`^${name.replaceAll(/[{}]/g, "\\$&")} (\\d+)$`, "m").exec(await rig.metrics())?.[1] ?? 0);
    const condition = (wanted: string): string => {
      const key = [...rig.engine.translator.routeKeys()][0];
      const status = key === undefined ? undefined : rig.engine.translator.routeStatus(key);
      const one = status?.parents[0]?.conditions.find(({ type }) => type === wanted);
      return `${one?.status ?? ""}/${one?.reason ?? ""} ${one?.message ?? ""}`;
    };

    test("a route that leads back to its own listener ends where it began", async () => {
      await rig.publish(datagramServiceYaml("web", [port]) + gateway() + on(WEB));
      const outcome = 'serviceroute_udp_sessions_total{outcome="LoopDetected"}';
      expect(await (await client()).ask("x", 300)).toBe("nothing");
      await until("it is known", async () => (await metric(outcome)) > 0);
      const before = await metric(outcome);
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect([before < 30, await metric(outcome)]).toEqual([true, before]);
    });

    test("a real resolver asks name servers behind it, each client the same one", async () => {
      const [one, two] = [await serving(resolved(192, 0, 2, 1)), await serving(resolved(192, 0, 2, 2))];
      await rig.publish(datagramServiceYaml("web", [one.port, two.port]) + gateway() + on(WEB));
      const resolver = new Resolver({ timeout: 2000, tries: 1 });
      resolver.setServers([`127.0.0.1:${port}`]);
      const asked = Array.from({ length: 40 }, async (_, i) => resolver.resolve4(`host-${i}.example.com`));
      const answers = (await Promise.all(asked)).flat();
      expect(answers).toHaveLength(40);
      expect(answers.every((address) => address === "192.0.2.1" || address === "192.0.2.2")).toBe(true);
      expect(await metric('serviceroute_udp_sessions_total{outcome="Proxied"}')).toBeGreaterThan(0);
    });

    test("datagrams keep their borders, and a client its endpoint", async () => {
      await rig.publish(datagramServiceYaml("web", [await echo("a"), await echo("b")]) + gateway() + on(WEB));
      const asking = await client();
      const first = (await asking.ask("x")).charAt(0);
      for (const text of ["", "y", "z".repeat(60_000)]) expect(await asking.ask(text)).toBe(`${first}${text}`);
      const others = await Promise.all(Array.from({ length: 40 }, async () => (await client()).ask("")));
      expect(new Set(others)).toEqual(new Set(["a", "b"]));
    });

    test("D47: weights hold for clients, and a bad share of them hears nothing", async () => {
      await rig.publish(
        datagramServiceYaml("web", [await echo("a")]) +
          datagramServiceYaml("two", [await echo("b")]) +
          gateway() +
          on(
            "backendRefs: [{name: web, port: 80, weight: 5}, {name: two, port: 80, weight: 3}, {name: gone, port: 80, weight: 2}]",
          ),
      );
      const got = await Promise.all(Array.from({ length: 200 }, async () => (await client()).ask("", 1500)));
      const count = (text: string): number => got.filter((one) => one === text).length;
      expect(count("a") + count("b") + count("nothing")).toBe(200);
      expect(count("a")).toBeGreaterThan(60);
      expect(count("b")).toBeGreaterThan(30);
      expect(count("nothing")).toBeGreaterThan(10);
      expect(await metric('serviceroute_udp_sessions_total{outcome="InvalidBackend"}')).toBe(count("nothing"));
    });

    test("a client whose endpoint goes is given another with its next datagram, and one whose endpoint stays keeps it", async () => {
      const ports = [await echo("a"), await echo("b")];
      await rig.publish(datagramServiceYaml("web", ports) + gateway() + on(WEB));
      const asking = await client();
      const first = await asking.ask("");
      const [stays, other] = first === "a" ? ports : [...ports].reverse();
      await rig.publish(datagramServiceYaml("web", [stays!]) + gateway() + on(`timeouts: {idle: 1m}, ${WEB}`));
      expect(await asking.ask("")).toBe(first);
      await rig.publish(datagramServiceYaml("web", [other!]) + gateway() + on(WEB));
      expect(await asking.ask("")).toBe(first === "a" ? "b" : "a");
      await rig.publish(datagramServiceYaml("web", ports) + gateway());
      expect(await asking.ask("", 300)).toBe("nothing");
    });

    test("F46: an endpoint where nobody listens loses a datagram, and no more", async () => {
      const closed = await bound();
      const { port: gone } = closed.address();
      closed.close();
      sockets.splice(sockets.indexOf(closed), 1);
      await rig.publish(datagramServiceYaml("web", [gone, await echo("a")]) + gateway() + on(WEB));
      for (let i = 0; i < 10; i++) {
        const asking = await client();
        const answers = [await asking.ask("", 200), await asking.ask("", 1000)];
        expect(answers).toContain("a");
      }
    });

    test("a silent client is forgotten, and so is the place that it had", async () => {
      const { port: backend, clients } = await serving((bytes) => bytes);
      await rig.publish(
        datagramServiceYaml("web", [backend]) +
          gateway() +
          on(`timeouts: {idle: 150ms}, circuitBreaker: {maxRequests: 1}, ${WEB}`),
      );
      const [one, two] = [await client(), await client()];
      expect(await one.ask("1")).toBe("1");
      expect(await two.ask("2", 50)).toBe("nothing");
      expect(await metric('serviceroute_udp_sessions_total{outcome="CircuitOpen"}')).toBe(1);
      await until("the first is forgotten", async () => (await two.ask("2", 100)) === "2");
      expect(clients.size).toBe(2);
    });

    test("one port number serves TCP and UDP, each its own Service port", async () => {
      const both =
        "{name: main, port: PORT, protocol: UDP}, {name: web, port: PORT, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}";
      const web = `parentRefs: [{name: gw, sectionName: web}]\nrules: [{filters: [{type: DirectResponse, directResponse: {statusCode: 200, body: "http"}}]}]`;
      await rig.publish(
        datagramServiceYaml("web", [await echo("udp")]) + gateway(both) + on(WEB) + routeYaml("h", web),
      );
      expect(await (await client()).ask("")).toBe("udp");
      expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("http");
    });

    test("a Service port of the other transport is said to be one, and a route is of one transport", async () => {
      await rig.publish(serviceYaml("web", [9001]) + gateway() + on(WEB));
      expect(condition("ResolvedRefs")).toMatch(
        /^False\/UnsupportedProtocol .*port 80 of Service default\/web is TCP, not UDP/,
      );
      const both = gateway("{name: main, port: PORT, protocol: UDP}, {name: t, port: PORT, protocol: TCP}");
      await rig.publish(serviceYaml("web", [9001]) + both + on(WEB, `{name: gw, port: ${port}}`));
      expect(condition("Accepted")).toMatch(/^False\/UnsupportedValue .*name one listener by sectionName/);
      await rig.publish(
        serviceYaml("web", [9001]) + both + on(WEB, "{name: gw, sectionName: main}, {name: gw, sectionName: t}"),
      );
      expect(condition("Accepted")).toMatch(/^False\/UnsupportedValue .*a route of its own/);
    });

    test("nothing that comes ends it: no bytes, and as many as there can be", async () => {
      const { port: backend } = await serving((bytes) => bytes);
      await rig.publish(datagramServiceYaml("web", [backend]) + gateway() + on(WEB));
      const socket = await bound();
      for (const size of [0, 1, 65_507]) socket.send(Buffer.alloc(size), port, "127.0.0.1");
      await until("it has a place", async () => (await metric("serviceroute_udp_sessions")) > 0);
      expect(await (await client()).ask("still here")).toBe("still here");
      await rig.publish(gateway("{name: web, port: PORT, protocol: HTTP}"));
      expect(await metric("serviceroute_udp_sessions")).toBe(0);
    });
  });
}
