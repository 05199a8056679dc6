import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TLSSocket, connect } from "node:tls";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import type { Key } from "../../src/api/keys.ts";
import { Backend } from "../support/backend.ts";
import { until } from "../support/data-plane.ts";
import { EnvoyRig } from "../support/envoy-rig.ts";
import { GATEWAY } from "../support/gateway-rig.ts";
import { routeYaml, secretYaml, serviceYaml } from "../support/objects.ts";
import { Pki } from "../support/pki.ts";
import { freePort } from "../support/ports.ts";

const GW = "Gateway/default/gw" as Key<"Gateway">;
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A handshake, or why there is none. */
async function handshake(port: number, servername: string): Promise<TLSSocket | string> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port, servername, rejectUnauthorized: false }, () => resolve(socket));
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}
async function shownTo(port: number, servername: string): Promise<string> {
  const socket = await handshake(port, servername);
  if (typeof socket === "string") return socket;
  const subject = socket.getPeerCertificate().subject as { CN?: string };
  socket.destroy();
  return subject.CN ?? "";
}
async function ask(port: number, servername: string, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, servername, headers: { host }, rejectUnauthorized: false, agent: false };
    request(options, (answer) => answer.resume().on("end", () => resolve(answer.statusCode ?? 0)))
      .on("error", reject)
      .end();
  });
}

describe("HTTPS listeners on Envoy", () => {
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-pki-"));
  const pki = new Pki(folder);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const pair = (secret: string, subject: string, dns: string): string => {
    const { cert, key } = pki.issue(subject, `/CN=${subject}`, `subjectAltName=DNS:${dns}`);
    return secretYaml(secret, readFileSync(cert, "utf8"), readFileSync(key, "utf8"));
  };
  const listener = (name: string, hostname: string): string =>
    `{name: ${name}, port: PORT, protocol: HTTPS, hostname: "${hostname}", tls: {certificateRefs: [{name: ${name}}]}}`;

  test("SNI chooses certificate and listener, a host of another one is 421, and a certificate is replaced under them", async () => {
    const web = await new Backend("web").start();
    cleanups.push(async () => web.stop());
    const rig = await EnvoyRig.start();
    cleanups.push(async () => rig.close());
    const port = await freePort();
    const rest =
      serviceYaml("web", [web.port]) +
      GATEWAY(port, `${listener("one", "one.example.com")}, ${listener("wide", "*.example.com")}`) +
      routeYaml("r", "rules: [{backendRefs: [{name: web, port: 80}]}]", "generation: 1") +
      pair("wide", "wide", "*.example.com");
    await rig.startEnvoy(GW);
    rig.apply(rest + pair("one", "one", "one.example.com"));
    await until("it listens", async () => (await shownTo(port, "one.example.com")) === "one");
    expect([await shownTo(port, "TWO.example.com"), await ask(port, "one.example.com", "one.example.com")]).toEqual([
      "wide",
      200,
    ]);
    expect(await ask(port, "two.example.com", "three.example.com")).toBe(200);
    expect(await ask(port, "one.example.com", "two.example.com")).toBe(421);
    expect(await ask(port, "two.example.com", "one.example.com")).toBe(421);
    expect(await ask(port, "two.example.com", "elsewhere.example.org")).toBe(404);
    expect(await shownTo(port, "unknown.example.org")).not.toMatch(/one|wide/);

    const open = await handshake(port, "one.example.com");
    rig.apply(rest + pair("one", "renewed", "one.example.com"));
    await until("the new one is shown", async () => (await shownTo(port, "one.example.com")) === "renewed");
    if (typeof open === "string") throw new Error(open);
    const answer = new Promise<string>((resolve) => open.once("data", (chunk: Buffer) => resolve(chunk.toString())));
    open.write("GET / HTTP/1.1\r\nhost: one.example.com\r\n\r\n");
    expect(await answer).toMatch(/^HTTP\/1\.1 200/);
    open.destroy();
  });

  test("S10: a proxy is told of its own Gateway alone", async () => {
    const rig = await EnvoyRig.start();
    cleanups.push(async () => rig.close());
    const port = await freePort();
    const stranger = await rig.startEnvoy("Gateway/other/gw" as Key<"Gateway">);
    rig.apply(GATEWAY(port, listener("one", "one.example.com")) + pair("one", "one", "one.example.com"));
    await until("the stranger has come", () => rig.proxies === 1);
    await rig.plane.settled();
    expect(await shownTo(port, "one.example.com")).toBe("ECONNREFUSED");
    await rig.startEnvoy(GW);
    await until("its own proxy serves it", async () => (await shownTo(port, "one.example.com")) === "one");
    expect(stranger.exitCode).toBeNull();
  });
});
