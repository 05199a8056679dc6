import { connect } from "node:net";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as tlsConnect } from "node:tls";
import { afterEach, describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import { Backend, startRaw } from "../support/backend.ts";
import { type DataPlaneRig, freePort, startEmbedded, until } from "../support/data-plane.ts";
import { startLoad } from "../support/load.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";
import { Pki } from "../support/pki.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function rigWith(): Promise<{ rig: DataPlaneRig; web: Backend }> {
  const web = await new Backend("web").start();
  const rig = await startEmbedded();
  cleanups.push(
    async () => web.stop(),
    async () => rig.close(),
  );
  return { rig, web };
}

const WEB = "rules: [{backendRefs: [{name: web, port: 80}]}]";
const GATEWAY = (port: number, listeners: string): string => `---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, annotations: {serviceroute.dev/default-scope: All}}
spec:
  gatewayClassName: serviceroute
  listeners: [${listeners.replaceAll("PORT", String(port))}]
`;

function secretYaml(name: string, cert: string, key: string, type = "kubernetes.io/tls"): string {
  const data = (text: string): string => JSON.stringify(Buffer.from(text).toString("base64"));
  return `---\napiVersion: v1\nkind: Secret\nmetadata: {name: ${name}}\ntype: ${type}\ndata: {tls.crt: ${data(cert)}, tls.key: ${data(key)}}\n`;
}

/** Subject of the certificate that a handshake shows, or its error. */
async function handshake(port: number, servername: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = tlsConnect(
      { host: "127.0.0.1", port, rejectUnauthorized: false, ...(servername === "" ? {} : { servername }) },
      () => {
        const subject = socket.getPeerCertificate().subject as { CN?: string };
        socket.destroy();
        resolve(subject.CN ?? "");
      },
    );
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

describe("draining", () => {
  test("requests in flight end, idle and silent connections do not hold it up", async () => {
    const { rig, web } = await rigWith();
    web.answer = (_request, response) => setTimeout(() => response.end("slow"), 700);
    await rig.publish(serviceYaml("web", [web.port]) + routeYaml("r", WEB));
    const silent = connect(rig.port, "127.0.0.1");
    await new Promise((resolve) => silent.once("connect", resolve));
    const replies = Array.from({ length: 20 }, async () => rig.ask("/"));
    await until("all are in flight", () => web.seen.length === 20);
    const started = Date.now();
    await rig.engine.gateway.drain(10_000);
    expect((await Promise.all(replies)).map(({ body }) => body)).toEqual(Array.from({ length: 20 }, () => "slow"));
    expect(Date.now() - started).toBeLessThan(3000);
  });

  test("a kept connection is told to close with its next answer, and loses no request", async () => {
    const { rig, web } = await rigWith();
    await rig.publish(serviceYaml("web", [web.port]) + routeYaml("r", WEB));
    const load = startLoad({ address: "127.0.0.1", port: rig.port, host: "a.example.com" }, 1);
    await until("it runs", () => load.sent() > 50);
    let received = "";
    const kept = connect(rig.port, "127.0.0.1", () => kept.write("GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n"));
    kept.on("data", (chunk) => (received += chunk.toString()));
    await until("answered", () => received.includes("web"));
    await load.stop();
    const drained = rig.engine.gateway.drain(10_000);
    await new Promise((resolve) => setTimeout(resolve, 100));
    received = "";
    kept.write("GET /again HTTP/1.1\r\nhost: a.example.com\r\n\r\n");
    await until("answered again", () => received.includes("web"));
    expect(received.toLowerCase()).toContain("connection: close");
    await drained;
  });

  test("a mirror that never answers does not hold it up", async () => {
    const { rig, web } = await rigWith();
    const hanging = await startRaw(() => undefined);
    cleanups.push(hanging.stop);
    await rig.publish(
      serviceYaml("web", [web.port]) +
        serviceYaml("shadow", [hanging.port]) +
        routeYaml(
          "r",
          "rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 80}}}], backendRefs: [{name: web, port: 80}]}]",
        ),
    );
    await rig.ask("/");
    const started = Date.now();
    await rig.engine.gateway.drain(10_000);
    expect(Date.now() - started).toBeLessThan(3000);
  });
});

describe("a change never touches open connections", () => {
  test("a WebSocket-like tunnel outlives edits of its route", async () => {
    const { rig } = await rigWith();
    const raw = await startRaw((socket) => {
      socket.once("data", () =>
        socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"),
      );
      socket.on("data", (chunk) => chunk.toString().startsWith("ping") && socket.write("pong"));
    });
    cleanups.push(raw.stop);
    await rig.publish(serviceYaml("web", [raw.port]) + routeYaml("r", WEB));
    let received = "";
    const client = connect(rig.port, "127.0.0.1", () =>
      client.write("GET / HTTP/1.1\r\nhost: a.example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"),
    );
    client.on("data", (chunk) => (received += chunk.toString()));
    await until("101", () => received.includes("101 Switching"));
    for (let i = 0; i < 10; i++)
      await rig.publish(
        serviceYaml("web", i % 2 === 0 ? [] : [raw.port]) + routeYaml("r", `hostnames: [h${i}.example.com]\n${WEB}`),
      );
    client.write("ping");
    await until("pong", () => received.endsWith("pong"));
    client.destroy();
  });
});

describe("TLS", () => {
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-pki-"));
  const pki = new Pki(folder);
  const pair = (name: string, extra = ""): string => {
    const { cert, key } = pki.issue(name, `/CN=${name}`, `subjectAltName=DNS:${name}.example.com`);
    return secretYaml(extra === "" ? name : extra, readFileSync(cert, "utf8"), readFileSync(key, "utf8"));
  };
  const HTTPS = (name: string): string =>
    `{name: ${name}, port: PORT, protocol: HTTPS, hostname: ${name}.example.com, tls: {certificateRefs: [{name: ${name}}]}}`;

  test("S25: SNI chooses the certificate, in any case; without SNI the first listener's; an unknown name is refused", async () => {
    const { rig } = await rigWith();
    const port = await freePort();
    await rig.publish(pair("one") + pair("two") + GATEWAY(port, `${HTTPS("one")}, ${HTTPS("two")}`));
    expect(await handshake(port, "one.example.com")).toBe("one");
    expect(await handshake(port, "TWO.example.com")).toBe("two");
    expect(await handshake(port, "")).toBe("one");
    expect(await handshake(port, "three.example.com")).not.toMatch(/one|two/);
  });

  test("F27: a new certificate is shown at once, and no handshake fails over 100 rotations", async () => {
    const { rig } = await rigWith();
    const port = await freePort();
    const versions = [pair("a-one", "one"), pair("b-one", "one")];
    const shown = new Set<string>();
    for (let i = 0; i < 100; i++) {
      await rig.publish(`${versions[i % 2] ?? ""}${GATEWAY(port, HTTPS("one"))}`);
      shown.add(await handshake(port, "one.example.com"));
    }
    expect([...shown].sort()).toEqual(["a-one", "b-one"]);
  });

  const good = (): string => pair("one");
  const [certA, keyB] = [
    () => readFileSync(pki.path("one.crt"), "utf8"),
    () => readFileSync(pki.path("other.key"), "utf8"),
  ];
  test.for<[string, () => string]>([
    ["garbage", () => secretYaml("one", "no PEM", "no PEM")],
    ["a key of another certificate", () => (pki.issue("other", "/CN=other", ""), secretYaml("one", certA(), keyB()))],
    [
      "a broken second certificate",
      () =>
        secretYaml(
          "one",
          `${certA()}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
          readFileSync(pki.path("one.key"), "utf8"),
        ),
    ],
    ["another type", () => secretYaml("one", certA(), readFileSync(pki.path("one.key"), "utf8"), "Opaque")],
    ["an empty Secret", () => secretYaml("one", "", "")],
  ])("B46, F28: %s keeps the last good certificate, and says so; other listeners go on", async ([, bad]) => {
    const { rig } = await rigWith();
    const port = await freePort();
    const gateway = GATEWAY(port, `${HTTPS("one")}, ${HTTPS("two")}`);
    await rig.publish(good() + pair("two") + gateway);
    await rig.publish(bad() + pair("two") + gateway);
    expect([await handshake(port, "one.example.com"), await handshake(port, "two.example.com")]).toEqual([
      "one",
      "two",
    ]);
    const status = rig.engine.controller.gatewayStatuses.get(keyOf("Gateway", "default", "gw"));
    const resolved = status?.listeners
      .map(({ conditions }) => conditions.find((c) => c.type === "ResolvedRefs"))
      .map((c) => `${c?.status ?? ""}/${c?.reason ?? ""}`);
    expect(resolved).toEqual(["False/InvalidCertificateRef", "True/ResolvedRefs"]);
    expect(JSON.stringify(status)).not.toContain("PRIVATE KEY");
  });

  test("F28: a Secret that is deleted takes its certificate with it, with and without SNI", async () => {
    const { rig } = await rigWith();
    const port = await freePort();
    const gateway = GATEWAY(port, `${HTTPS("one")}, ${HTTPS("two")}`);
    await rig.publish(good() + pair("two") + gateway);
    await rig.publish(pair("two") + gateway);
    expect(await handshake(port, "one.example.com")).not.toBe("one");
    expect(await handshake(port, "")).toBe("two");
  });

  test("the end", () => rmSync(folder, { recursive: true, force: true }));
});

describe("listeners", () => {
  test("F52: a port that is taken is said so, on its listener alone, and taken when it becomes free", async () => {
    const { rig } = await rigWith();
    const taken = await startRaw(() => undefined);
    const free = await freePort();
    const gateway = `---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec: {gatewayClassName: serviceroute, listeners: [{name: taken, port: ${taken.port}, protocol: HTTP}, {name: free, port: ${free}, protocol: HTTP}]}\n`;
    const published = rig.publish(gateway);
    const status = () => rig.engine.controller.gatewayStatuses.get(keyOf("Gateway", "default", "gw"));
    const of = (listener: string, type: string) =>
      status()
        ?.listeners.find(({ name }) => name === listener)
        ?.conditions.find((c) => c.type === type);
    await until("told", () => of("taken", "Accepted")?.reason === "PortUnavailable");
    await until("the other is up", () => of("free", "Programmed")?.status === "True");
    expect(status()?.conditions.find((c) => c.type === "Programmed")?.status).toBe("False");
    await taken.stop();
    await published;
    await until("bound", () => of("taken", "Programmed")?.status === "True");
  });

  test("B47: listeners that cannot be told apart are conflicted, others serve", async () => {
    const { rig } = await rigWith();
    const port = await freePort();
    await rig.publish(
      GATEWAY(
        port,
        "{name: a, port: PORT, protocol: HTTP}, {name: b, port: PORT, protocol: HTTP}, {name: c, port: PORT, protocol: HTTP, hostname: c.example.com}",
      ),
    );
    const listeners = rig.engine.controller.gatewayStatuses.get(keyOf("Gateway", "default", "gw"))?.listeners ?? [];
    expect(
      listeners
        .map(({ conditions }) => conditions.find((c) => c.type === "Conflicted"))
        .map((c) => `${c?.status ?? ""}/${c?.reason ?? ""}`),
    ).toEqual(["True/HostnameConflict", "True/HostnameConflict", "False/NoConflicts"]);
    expect([...rig.engine.translator.table.listeners.keys()].filter((id) => id.startsWith("default/"))).toEqual([
      "default/gw/c",
    ]);
  });
});
