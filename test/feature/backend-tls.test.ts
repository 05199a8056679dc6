import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createSecureServer } from "node:http2";
import { type Server, createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { startEmbedded, type DataPlaneRig } from "../support/data-plane.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";
import { Pki } from "../support/pki.ts";

const folder = mkdtempSync(join(tmpdir(), "serviceroute-backend-tls-"));
const pki = new Pki(join(folder, "one"));
const other = new Pki(join(folder, "two"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const bundle = (name: string, ca: Pki): string =>
  `---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {ca.crt: ${JSON.stringify(readFileSync(ca.path("ca.crt"), "utf8"))}}\n`;
const policy = (validation: string, target = "", name = "tls"): string => `---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: ${name}}
spec: {targetRefs: [{group: "", kind: Service, name: secure${target}}], validation: {${validation}}}
`;
/** A DNS name of a certificate, byte by byte: what openssl would not write. */
function nameInDer(name: string): string {
  const bytes = Buffer.from(name, "latin1");
  const value = Buffer.concat([Buffer.from([0x30, bytes.length + 2, 0x82, bytes.length]), bytes]);
  return `DER:${value.toString("hex")}`;
}
const CA = "caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]";

describe("S23: TLS to backends", () => {
  let rig: DataPlaneRig;
  let backend: Server;
  const shown: string[] = [];
  const named: Server[] = [];

  beforeAll(async () => {
    const names = "subjectAltName=DNS:web.internal,URI:spiffe://cluster/web,DNS:secure.default.svc";
    const { cert, key } = pki.issue("web", "/CN=only-a-common-name", names);
    backend = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (incoming, response) => {
      shown.push(String((incoming.socket as { servername?: unknown }).servername));
      response.end(`${incoming.headers.host ?? ""} ${incoming.headers["x-forwarded-proto"] as string}`);
    });
    backend.listen(0, "127.0.0.1");
    await once(backend, "listening");
    rig = await startEmbedded();
  });
  afterAll(async () => {
    await rig.close();
    for (const server of [backend, ...named]) {
      server.closeAllConnections();
      server.close();
    }
  });

  const port = (): number => (backend.address() as AddressInfo).port;
  const serve = async (more: string, appProtocol = "http", at = port()): Promise<void> =>
    rig.publish(
      serviceYaml("secure", [at])
        .replace("{port: 80, appProtocol: http}", `{name: main, port: 80, appProtocol: ${appProtocol}}`)
        .replace(`[{port: ${at}}]`, `[{name: main, port: ${at}}]`) +
        more +
        routeYaml("r", "rules: [{backendRefs: [{name: secure, port: 80}]}]"),
    );
  const outcome = async (): Promise<string> => {
    const { status, body } = await rig.ask("/");
    return `${status} ${body.trim()}`;
  };
  const GOOD = "200 a.example.com http";

  test.for<[string, string, string]>([
    ["the hostname that the certificate is for", `hostname: web.internal, ${CA}`, GOOD],
    ["a hostname that it is not for", `hostname: db.internal, ${CA}`, "503 ConnectFailure"],
    ["a common name alone", `hostname: only-a-common-name, ${CA}`, "503 ConnectFailure"],
    [
      "somebody else's authority",
      "hostname: web.internal, caCertificateRefs: [{group: '', kind: ConfigMap, name: ca-two}]",
      "503 ConnectFailure",
    ],
    [
      "the system's authorities, which do not know ours",
      "hostname: web.internal, wellKnownCACertificates: System",
      "503 ConnectFailure",
    ],
    [
      "a listed name, whatever the hostname",
      `hostname: sni.example, ${CA}, subjectAltNames: [{type: Hostname, hostname: web.internal}]`,
      GOOD,
    ],
    ["a listed URI", `hostname: sni.example, ${CA}, subjectAltNames: [{type: URI, uri: 'spiffe://cluster/web'}]`, GOOD],
    [
      "one of several listed names",
      `hostname: sni.example, ${CA}, subjectAltNames: [{type: URI, uri: 'spiffe://x'}, {type: Hostname, hostname: web.internal}]`,
      GOOD,
    ],
    [
      "listed names that it does not have, though the hostname fits",
      `hostname: web.internal, ${CA}, subjectAltNames: [{type: URI, uri: 'spiffe://cluster/webb'}]`,
      "503 ConnectFailure",
    ],
    [
      "a listed common name",
      `hostname: sni.example, ${CA}, subjectAltNames: [{type: Hostname, hostname: only-a-common-name}]`,
      "503 ConnectFailure",
    ],
    ["a hostname that is a pattern", `hostname: "*.internal", ${CA}`, "500 InvalidBackend"],
    ["a hostname that is none", `hostname: "not a host!", ${CA}`, "500 InvalidBackend"],
    [
      "a bundle that is not there",
      "hostname: web.internal, caCertificateRefs: [{group: '', kind: ConfigMap, name: gone}]",
      "500 InvalidBackend",
    ],
    [
      "a bundle without certificates",
      "hostname: web.internal, caCertificateRefs: [{group: '', kind: ConfigMap, name: empty}]",
      "500 InvalidBackend",
    ],
    [
      "a bundle in a Secret",
      "hostname: web.internal, caCertificateRefs: [{group: '', kind: Secret, name: ca}]",
      "500 InvalidBackend",
    ],
    ["no authority at all", "hostname: web.internal", "500 InvalidBackend"],
    [
      "a listed name without its value",
      `hostname: web.internal, ${CA}, subjectAltNames: [{type: URI, hostname: web.internal}]`,
      "500 InvalidBackend",
    ],
  ])("%s", async ([, validation, expected]) => {
    const empty = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: empty}\ndata: {ca.crt: none}\n";
    await serve(bundle("ca", pki) + bundle("ca-two", other) + empty + policy(validation));
    expect(await outcome()).toBe(expected);
  });

  /** A backend whose certificate has these names. */
  async function namedBackend(names: string): Promise<number> {
    const { cert, key } = pki.issue("named", "/CN=named", `subjectAltName=${names}`);
    const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (_, response) =>
      response.end("named"),
    );
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    named.push(server);
    return (server.address() as AddressInfo).port;
  }

  test.for<[string, string, string]>([
    ["the name", "DNS:web.internal", "200 named"],
    ["a wildcard for a whole domain of the top", "DNS:*.internal", "503 ConnectFailure"],
    ["a wildcard for every name", "DNS:*", "503 ConnectFailure"],
    ["a wildcard in the middle of it", "DNS:w*b.*", "503 ConnectFailure"],
    ["the name, then a NUL and more", nameInDer("web.internal\0.evil.test"), "503 ConnectFailure"],
    ["a NUL before the name", nameInDer("\0web.internal"), "503 ConnectFailure"],
    ["the name and a blank", nameInDer("web.internal "), "503 ConnectFailure"],
    ["two names written as one", nameInDer("evil.test, DNS:web.internal"), "503 ConnectFailure"],
    ["the address only", "IP:127.0.0.1", "503 ConnectFailure"],
    ["the name as one of mail", "email:web.internal", "503 ConnectFailure"],
  ])("a certificate that holds %s", async ([, names, expected]) => {
    await serve(bundle("ca", pki) + policy(`hostname: web.internal, ${CA}`), "http", await namedBackend(names));
    expect(await outcome()).toBe(expected);
  });

  test("an address is no hostname, and nothing but one that fits is taken for it", async () => {
    const at = await namedBackend("IP:127.0.0.1");
    await serve(bundle("ca", pki) + policy(`hostname: 127.0.0.1, ${CA}`), "http", at);
    expect(await outcome()).toBe("500 InvalidBackend");
  });

  test("a session with a backend is not one for another name of the same address", async () => {
    const other = serviceYaml("other", [port()]) + policy(`hostname: db.internal, ${CA}`, "", "other");
    await serve(
      bundle("ca", pki) +
        policy(`hostname: web.internal, ${CA}`) +
        other.replace("name: secure", "name: other") +
        routeYaml("other", "hostnames: [other.example.com]\nrules: [{backendRefs: [{name: other, port: 80}]}]"),
    );
    for (let i = 0; i < 5; i++) {
      expect(await outcome()).toBe(GOOD);
      expect((await rig.ask("/", { host: "other.example.com" })).status).toBe(503);
    }
  });

  test("SNI is the policy's hostname, never what the client asked for", async () => {
    shown.length = 0;
    await serve(bundle("ca", pki) + policy(`hostname: web.internal, ${CA}`));
    for (const host of ["a.example.com", "b.example.com"]) await rig.ask("/", { host });
    expect(new Set(shown)).toEqual(new Set(["web.internal"]));
  });

  test("an authority that changes holds for the next request, connections that were open included", async () => {
    await serve(bundle("ca", pki) + policy(`hostname: web.internal, ${CA}`));
    expect(await outcome()).toBe(GOOD);
    await serve(bundle("ca", other) + policy(`hostname: web.internal, ${CA}`));
    expect(await outcome()).toBe("503 ConnectFailure");
    await serve(bundle("ca", pki) + policy(`hostname: web.internal, ${CA}`));
    expect(await outcome()).toBe(GOOD);
  });

  test("a policy for the port counts before one for the Service, and a policy that goes leaves cleartext", async () => {
    const good = policy(`hostname: web.internal, ${CA}`, ", sectionName: main", "port");
    const bad = policy(`hostname: db.internal, ${CA}`, "", "all");
    await serve(bundle("ca", pki) + bad + good);
    expect(await outcome()).toBe(GOOD);
    await serve(bundle("ca", pki) + bad + good.replace("sectionName: main", "sectionName: other"));
    expect(await outcome()).toBe("503 ConnectFailure");
    await serve("");
    expect(await outcome()).toMatch(/^(400|50[23])/);
  });

  test("appProtocol https without a policy is verified by the system, for the Service's name", async () => {
    await serve("", "https");
    expect(await outcome()).toBe("503 ConnectFailure");
  });

  test("HTTP/2 over TLS is agreed on by ALPN, and refused where the backend has none", async () => {
    const { cert, key } = pki.issue("h2", "/CN=h2", "subjectAltName=DNS:web.internal");
    const two = createSecureServer({ cert: readFileSync(cert), key: readFileSync(key) });
    two.on("stream", (stream) => {
      stream.respond({ ":status": 200 });
      stream.end("h2 over TLS");
    });
    two.listen(0, "127.0.0.1");
    await once(two, "listening");
    const tls = bundle("ca", pki) + policy(`hostname: web.internal, ${CA}`);
    await serve(tls, "kubernetes.io/h2c", (two.address() as AddressInfo).port);
    expect(await outcome()).toBe("200 h2 over TLS");
    await serve(tls, "kubernetes.io/h2c");
    expect(await outcome()).toBe("503 ConnectFailure");
    two.close();
  });

  test("a WebSocket to a backend of wss", async () => {
    const sockets = new WebSocketServer({ server: backend });
    sockets.on("connection", (socket) =>
      socket.on("message", (data) => socket.send(`echo ${(data as Buffer).toString()}`)),
    );
    await serve(bundle("ca", pki) + policy(`hostname: web.internal, ${CA}`), "kubernetes.io/wss");
    const socket = new WebSocket(`ws://127.0.0.1:${rig.port}/`, { headers: { host: "a.example.com" } });
    await once(socket, "open");
    socket.send("hi");
    const [message] = (await once(socket, "message")) as [Buffer];
    expect(message.toString()).toBe("echo hi");
    socket.terminate();
    sockets.close();
  });
});
