import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer, connect as tlsConnect } from "node:tls";
import { Aedes } from "aedes";
import { connectAsync } from "mqtt";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { test } from "../support/contract.ts";
import { closedPort, startRaw } from "../support/backend.ts";
import { type DataPlaneRig, until } from "../support/data-plane.ts";
import { freePort } from "../support/ports.ts";
import { routeYaml, secretYaml, serviceYaml } from "../support/objects.ts";
import { Pki } from "../support/pki.ts";

/** Everything that comes until the other end closes, or the error that ended it. */
async function read(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (chunk) => (text += chunk.toString()));
  return new Promise((resolve) => {
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(`error ${error.code ?? error.message}`));
    socket.on("close", () => resolve(text));
  });
}

/** Connections instead of requests, on any data plane. */
export function describeTcp(name: string, start: () => Promise<DataPlaneRig>): void {
  describe(`${name}: TCP and TLS`, () => {
    let rig: DataPlaneRig;
    let port: number;
    const servers: Server[] = [];
    const folder = mkdtempSync(join(tmpdir(), "serviceroute-tcp-"));
    const pki = new Pki(folder);

    beforeAll(async () => {
      rig = await start();
      port = await freePort();
    });
    afterAll(async () => {
      await rig.close();
      for (const server of servers) server.close();
      rmSync(folder, { recursive: true, force: true });
    });

    const listening = async (server: Server): Promise<number> => {
      servers.push(server);
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      return (server.address() as AddressInfo).port;
    };
    /** Says its name, then what it is told, and ends when its client has. */
    const echo = async (says: string): Promise<number> =>
      listening(
        createServer({ allowHalfOpen: true }, (socket) => {
          socket.on("error", () => undefined).write(says);
          socket.pipe(socket);
        }),
      );
    const gateway = (listeners: string): string => `---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, annotations: {serviceroute.dev/default-scope: All}}
spec: {gatewayClassName: serviceroute, listeners: [${listeners.replaceAll("PORT", String(port))}]}
`;
    const tcp = (): string => gateway("{name: main, port: PORT, protocol: TCP}");
    const on = (rule: string, more = ""): string =>
      routeYaml("r", `parentRefs: [{name: gw, sectionName: main}]\n${more}rules: [{${rule}}]`);
    const WEB = "backendRefs: [{name: web, port: 80}]";
    const said = async (text = ""): Promise<string> => {
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      socket.end(text);
      return read(socket);
    };
    const accepted = (): string => {
      const key = [...rig.engine.translator.routeKeys()][0];
      const status = key === undefined ? undefined : rig.engine.translator.routeStatus(key);
      const condition = status?.conditions.find(({ type }) => type === "Accepted");
      return `${condition?.status ?? ""}/${condition?.reason ?? ""} ${condition?.message ?? ""}`;
    };

    test("bytes go both ways, and either side may end before the other has", async () => {
      await rig.publish(serviceYaml("web", [await echo("hello ")]) + tcp() + on(WEB));
      expect(await said("x".repeat(1_000_000))).toBe(`hello ${"x".repeat(1_000_000)}`);
      expect(await rig.metrics()).toMatch(/serviceroute_tcp_connections_total\{outcome="Proxied"\} [1-9]/);
    });

    test("a route that leads back to its own listener ends where it began", async () => {
      await rig.publish(serviceYaml("web", [port]) + tcp() + on(WEB));
      const outcomes = async (name: string): Promise<number> =>
        Number(new RegExp(`tcp_connections_total\\{outcome="${name}"\\} (\\d+)`).exec(await rig.metrics())?.[1] ?? 0);
      const before = await outcomes("Proxied");
      expect(await said("x")).toMatch(/^(error ECONNRESET)?$/);
      await until("it is known", async () => (await outcomes("LoopDetected")) > 0);
      await new Promise((resolve) => setTimeout(resolve, 300));
      const after = await outcomes("Proxied");
      expect(after - before).toBeLessThan(30);
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(await outcomes("Proxied")).toBe(after);
    });

    test("a real message broker: MQTT publishers and subscribers reach it through a TCP listener", async () => {
      const broker = await Aedes.createBroker();
      const brokerPort = await listening(createServer((socket) => broker.handle(socket)));
      await rig.publish(serviceYaml("web", [brokerPort]) + tcp() + on(WEB));
      const [subscriber, publisher] = await Promise.all([
        connectAsync(`mqtt://127.0.0.1:${port}`),
        connectAsync(`mqtt://127.0.0.1:${port}`),
      ]);
      const got: string[] = [];
      subscriber.on("message", (topic, payload) => got.push(`${topic} ${payload.toString()}`));
      await subscriber.subscribeAsync("orders/#", { qos: 1 });
      for (let i = 0; i < 200; i++) await publisher.publishAsync(`orders/${i % 3}`, `order ${i}`, { qos: 1 });
      await until("every message has come", () => got.length === 200);
      expect(got).toEqual(Array.from({ length: 200 }, (_, i) => `orders/${i % 3} order ${i}`));
      await Promise.all([subscriber.endAsync(), publisher.endAsync()]);
      broker.close();
    });

    test("D47: weights hold for connections, and a bad share of them is refused", async () => {
      await rig.publish(
        serviceYaml("web", [await echo("a")]) +
          serviceYaml("two", [await echo("b")]) +
          tcp() +
          on(
            "backendRefs: [{name: web, port: 80, weight: 5}, {name: two, port: 80, weight: 3}, {name: gone, port: 80, weight: 2}]",
          ),
      );
      const got = await Promise.all(Array.from({ length: 300 }, async () => said()));
      const count = (text: string): number => got.filter((one) => one === text).length;
      expect(count("a") + count("b") + got.filter((one) => one.startsWith("error")).length).toBe(300);
      expect(count("a")).toBeGreaterThan(100);
      expect(count("b")).toBeGreaterThan(50);
      expect(got.filter((one) => one.startsWith("error")).length).toBeGreaterThan(20);
    });

    test("F46: a connection that is refused is tried once on another endpoint; without one the client's is reset", async () => {
      await rig.publish(serviceYaml("web", [await closedPort(), await echo("a")]) + tcp() + on(WEB));
      expect(new Set(await Promise.all(Array.from({ length: 10 }, async () => said())))).toEqual(new Set(["a"]));
      await rig.publish(serviceYaml("web", [await closedPort()]) + tcp() + on(WEB));
      expect(await said()).toMatch(/^error|^$/);
      await rig.publish(serviceYaml("web", []) + tcp() + on(WEB));
      expect(await said()).toMatch(/^error|^$/);
      expect(await rig.metrics()).toContain('outcome="NoEndpoints"');
    });

    test("F47: what breaks off on one side, or is idle for too long, looks broken off on the other", async () => {
      const raw = await startRaw((socket) => socket.write("hi"));
      await rig.publish(serviceYaml("web", [raw.port]) + tcp() + on(`timeouts: {idle: 200ms}, ${WEB}`));
      const idle = connect({ port, host: "127.0.0.1" });
      expect(await read(idle)).toBe("error ECONNRESET");
      const breaking = await listening(
        createServer((socket) => {
          socket.write("half of it", () => setTimeout(() => socket.resetAndDestroy(), 50));
        }),
      );
      await rig.publish(serviceYaml("web", [breaking]) + tcp() + on(WEB));
      expect(await read(connect({ port, host: "127.0.0.1" }))).toBe("error ECONNRESET");
      await rig.publish(serviceYaml("web", [raw.port]) + tcp() + on(WEB));
      const broken = connect({ port, host: "127.0.0.1" });
      await once(broken, "data");
      broken.resetAndDestroy();
      await until("the backend's end is gone", () => raw.sockets() === 0);
      await raw.stop();
    });

    test("a client that reads slowly is not idle: it gets all that was sent", async () => {
      const SIZE = 4_000_000;
      const sending = await listening(
        createServer({ allowHalfOpen: true }, (socket) => {
          socket.on("error", () => undefined).end(Buffer.alloc(SIZE));
          socket.resume();
        }),
      );
      await rig.publish(serviceYaml("web", [sending]) + tcp() + on(`timeouts: {idle: 1s}, ${WEB}`));
      const socket = connect({ port, host: "127.0.0.1" });
      let [size, end] = [0, ""];
      socket.on("error", (error) => (end = error.message)).on("end", () => (end = "end"));
      socket.on("data", (chunk) => {
        size += chunk.length;
        socket.pause();
        setTimeout(() => socket.resume(), 40);
      });
      await until("it has ended", () => end !== "", 30_000);
      expect([size, end]).toEqual([SIZE, "end"]);
    });

    test("a connection in line keeps its place while its client is there, and not for ever", async () => {
      let heard = "";
      const raw = await startRaw((socket) => {
        socket.on("data", (chunk) => (heard += chunk.toString())).write("hi");
      });
      const limits = "circuitBreaker: {maxConnections: 1}, timeouts: {idle: 1m}";
      await rig.publish(serviceYaml("web", [raw.port]) + tcp() + on(`${limits}, ${WEB}`));
      const clients = async (): Promise<string> => /serviceroute_connections \d+/.exec(await rig.metrics())?.[0] ?? "";
      const first = connect({ port, host: "127.0.0.1" });
      await once(first, "data");
      const before = await clients();
      const [next, ...dead] = [1, 2, 3, 4].map(() => connect({ port, host: "127.0.0.1", allowHalfOpen: true }));
      for (const one of dead) one.on("error", () => undefined).on("connect", () => one.resetAndDestroy());
      next!.write("said meanwhile");
      await until(
        "the dead are forgotten",
        async () => (await clients()) === before.replace(/\d+/, (n) => `${Number(n) + 1}`),
      );
      first.destroy();
      await once(next!, "data");
      await until("what it said has come", () => heard === "said meanwhile");
      const late = connect({ port, host: "127.0.0.1" });
      expect(await read(late)).toBe("error ECONNRESET");
      expect(await rig.metrics()).toContain('serviceroute_tcp_connections_total{outcome="CircuitOpen"} 1');
      next!.destroy();
      await raw.stop();
    });

    test("of two routes the older one wins, and the other is told", async () => {
      const at = (name: string, created: string, backend: string): string =>
        routeYaml(
          name,
          `parentRefs: [{name: gw, sectionName: main}]\nrules: [{backendRefs: [{name: ${backend}, port: 80}]}]`,
          `creationTimestamp: "${created}"`,
        );
      await rig.publish(
        serviceYaml("web", [await echo("old")]) +
          serviceYaml("two", [await echo("new")]) +
          tcp() +
          at("a", "2026-01-02T00:00:00Z", "two") +
          at("b", "2026-01-01T00:00:00Z", "web"),
      );
      expect(await said()).toBe("old");
    });

    test.for<[string, string, string]>([
      ["a match", `matches: [{path: {value: /a}}], ${WEB}`, "rules[0].matches"],
      [
        "a filter",
        "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}}}], backendRefs: [{name: web, port: 80}]",
        "rules[0].filters",
      ],
      [
        "a filter of a backend",
        "backendRefs: [{name: web, port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x]}}]}]",
        "rules[0].backendRefs[0].filters",
      ],
      ["a retry", `retry: {attempts: 1}, ${WEB}`, "rules[0].retry"],
      ["a time limit of requests", `timeouts: {request: 1s}, ${WEB}`, "rules[0].timeouts.request"],
      ["a second rule", `${WEB}}, {${WEB}`, "rules: exactly one"],
    ])("%s means nothing to a connection: the parent says so", async ([, rule, message]) => {
      await rig.publish(serviceYaml("web", [await echo("a")]) + tcp() + on(rule));
      expect(accepted()).toContain(`False/UnsupportedValue ${message}`);
      expect(await said()).toMatch(/^error|^$/);
    });

    test("a route stands on a TCP listener only where it names it, and has no hostnames there", async () => {
      const both = gateway("{name: main, port: PORT, protocol: TCP}");
      await rig.publish(
        serviceYaml("web", [await echo("a")]) + both + routeYaml("r", `parentRefs: [{name: gw}]\nrules: [{${WEB}}]`),
      );
      expect(accepted()).toContain("False/NoMatchingParent");
      expect(await said()).toMatch(/^error|^$/);
      await rig.publish(serviceYaml("web", [await echo("a")]) + both + on(WEB, "hostnames: [a.example.com]\n"));
      expect(accepted()).toContain("False/UnsupportedValue hostnames: a TCP listener has none");
    });

    describe("TLS", () => {
      const pair = (one: string): { cert: string; key: string } => {
        const { cert, key } = pki.issue(one, `/CN=${one}`, `subjectAltName=DNS:${one}.example.com`);
        return { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
      };
      const subject = async (servername: string): Promise<string> =>
        new Promise((resolve) => {
          const options = { port, host: "127.0.0.1", rejectUnauthorized: false };
          const socket = tlsConnect({ ...options, ...(servername === "" ? {} : { servername }) }, () => {
            let text = "";
            socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
            socket.on("end", () =>
              resolve(`${(socket.getPeerCertificate().subject as { CN?: string }).CN ?? ""} ${text}`),
            );
            socket.end("ping");
          });
          socket.on("error", (error: NodeJS.ErrnoException) => resolve(`error ${error.code ?? error.message}`));
          socket.on("close", () => resolve("closed"));
        });
      const secured = async (one: string): Promise<number> =>
        listening(createTlsServer(pair(one), (socket) => socket.on("error", () => undefined).pipe(socket)));
      const route = (one: string, hostname: string): string =>
        routeYaml(
          one,
          `parentRefs: [{name: gw, sectionName: main}]\nhostnames: ["${hostname}"]\nrules: [{backendRefs: [{name: ${one}, port: 80}]}]`,
        );

      test("passed through, SNI chooses the backend, whose certificate the client sees", async () => {
        await rig.publish(
          serviceYaml("a", [await secured("a")]) +
            serviceYaml("b", [await secured("b")]) +
            gateway("{name: main, port: PORT, protocol: TLS, tls: {mode: Passthrough}}") +
            route("a", "a.example.com") +
            route("b", "*.b.example.com"),
        );
        expect(await subject("a.example.com")).toBe("a ping");
        for (const name of ["A.EXAMPLE.com", "a.example.com."]) expect(await subject(name)).toBe("a ping");
        expect(await subject("x.b.example.com")).toBe("b ping");
        for (const unknown of ["b.example.com", "c.example.com", ""])
          expect(await subject(unknown)).toMatch(/^error|^closed/);
      });

      test("terminated, the listener shows its own certificate and the backend gets what was inside", async () => {
        const { cert, key } = pair("front");
        await rig.publish(
          secretYaml("front", cert, key) +
            serviceYaml("a", [await echo("clear ")]) +
            gateway(
              "{name: main, port: PORT, protocol: TLS, hostname: front.example.com, tls: {certificateRefs: [{name: front}]}}",
            ) +
            route("a", "front.example.com"),
        );
        expect(await subject("front.example.com")).toBe("front clear ping");
        expect(await subject("other.example.com")).toMatch(/^error|^closed/);
      });

      test("terminated and made anew towards a backend that a policy wants verified", async () => {
        const { cert, key } = pair("front");
        const back = pair("back");
        const secret = await listening(
          createTlsServer(back, (socket) => socket.on("error", () => undefined).pipe(socket)),
        );
        const policy = (hostname: string): string =>
          `---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca}\ndata: {ca.crt: ${JSON.stringify(readFileSync(pki.path("ca.crt"), "utf8"))}}\n` +
          `---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: p}\nspec: {targetRefs: [{group: "", kind: Service, name: a}], validation: {hostname: ${hostname}, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}}\n`;
        const rest =
          secretYaml("front", cert, key) +
          serviceYaml("a", [secret]) +
          gateway("{name: main, port: PORT, protocol: TLS, tls: {certificateRefs: [{name: front}]}}") +
          route("a", "front.example.com");
        await rig.publish(rest + policy("back.example.com"));
        expect(await subject("front.example.com")).toBe("front ping");
        await rig.publish(rest + policy("other.example.com"));
        expect(await subject("front.example.com")).not.toContain("ping");
      });

      test("B48: bytes that are no TLS, half a hello and a hello in pieces", async () => {
        await rig.publish(
          serviceYaml("a", [await secured("a")]) +
            gateway("{name: main, port: PORT, protocol: TLS, tls: {mode: Passthrough}}") +
            route("a", "a.example.com"),
        );
        expect(await said("GET / HTTP/1.1\r\n\r\n")).toMatch(/^error|^$/);
        expect(await said("\u0016\u0003\u0001")).toMatch(/^error|^$/);
        const pieces = connect({ port, host: "127.0.0.1" });
        const hello = await clientHelloOf("a.example.com");
        for (const byte of hello) {
          pieces.write(Buffer.from([byte]));
          await new Promise((resolve) => setImmediate(resolve));
        }
        const [answer] = (await once(pieces, "data")) as [Buffer];
        expect(answer[0]).toBe(22);
        pieces.destroy();
      });
    });
  });
}

/** The first bytes that a TLS client of Node's sends. */
async function clientHelloOf(servername: string): Promise<Buffer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = tlsConnect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", servername });
  client.on("error", () => undefined);
  const [socket] = (await once(server, "connection")) as [Socket];
  const [hello] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  client.destroy();
  server.close();
  return hello;
}
