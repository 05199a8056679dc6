import { request } from "node:https";
import { connect } from "node:net";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConnectionOptions, connect as tlsConnect } from "node:tls";
import { describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import { followTime } from "../../src/commands/engine.ts";
import { clientHello } from "../support/client-hello.ts";
import { freePort } from "../support/ports.ts";
import { GATEWAY, WEB, cleanups, rigWith } from "../support/gateway-rig.ts";
import { routeYaml, secretYaml, serviceYaml } from "../support/objects.ts";
import { Pki } from "../support/pki.ts";

/** Subject of the certificate that a handshake shows, or its error. */
async function handshake(port: number, servername: string, options: ConnectionOptions = {}): Promise<string> {
  return new Promise((resolve) => {
    const socket = tlsConnect(
      { host: "127.0.0.1", port, rejectUnauthorized: false, ...(servername === "" ? {} : { servername }), ...options },
      () => {
        const subject = socket.getPeerCertificate().subject as { CN?: string };
        socket.destroy();
        resolve(subject.CN ?? "");
      },
    );
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

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

  test("of several certificates of a listener the one for the very name is shown, then that of a wildcard for one label", async () => {
    const { rig } = await rigWith();
    const port = await freePort();
    const issued = (name: string, dns: string): string => {
      const { cert, key } = pki.issue(name, `/CN=${name}`, `subjectAltName=DNS:${dns}`);
      return secretYaml(name, readFileSync(cert, "utf8"), readFileSync(key, "utf8"));
    };
    const listener =
      "{name: all, port: PORT, protocol: HTTPS, hostname: '*.example.com', tls: {certificateRefs: [{name: wide}, {name: narrow}, {name: exact}]}}";
    await rig.publish(
      issued("wide", "*.example.com") +
        issued("narrow", "*.eu.example.com") +
        issued("exact", "shop.example.com") +
        GATEWAY(port, listener),
    );
    expect(await handshake(port, "any.example.com")).toBe("wide");
    expect(await handshake(port, "any.eu.example.com")).toBe("narrow");
    expect(await handshake(port, "shop.example.com")).toBe("exact");
    expect(await handshake(port, "any.shop.example.com")).toBe("wide");
  });

  test("F27: a new certificate is shown at once, and no handshake fails over 100 rotations", async () => {
    const { rig } = await rigWith();
    const port = await freePort();
    const versions = [pair("a-one", "one"), pair("b-one", "one")];
    await rig.publish(`${versions[0] ?? ""}${GATEWAY(port, HTTPS("one"))}`);
    const open = tlsConnect({ host: "127.0.0.1", port, servername: "one.example.com", rejectUnauthorized: false });
    await new Promise((resolve) => open.once("secureConnect", resolve));
    const shown: string[] = [];
    for (let i = 0; i < 100; i++) {
      await rig.publish(`${versions[i % 2] ?? ""}${GATEWAY(port, HTTPS("one"))}`);
      shown.push(await handshake(port, "one.example.com"));
    }
    expect(shown).toEqual(Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? "a-one" : "b-one")));
    const answered = new Promise<string>((resolve) => open.once("data", (chunk: Buffer) => resolve(chunk.toString())));
    open.write("GET / HTTP/1.1\r\nhost: one.example.com\r\n\r\n");
    expect(await answered).toMatch(/^HTTP\/1.1 404/);
    open.destroy();
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

  test("B46, F28: an expired certificate is served where there is no other, and status says so", async () => {
    const { rig } = await rigWith();
    const port = await freePort();
    const { cert, key } = pki.issue("expired", "/CN=expired", "subjectAltName=DNS:one.example.com", "EC P-256", 0);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const stop = new AbortController();
    cleanups.push(async () => Promise.resolve(stop.abort()));
    followTime(rig.engine, stop.signal);
    const secret = secretYaml("one", readFileSync(cert, "utf8"), readFileSync(key, "utf8"));
    await rig.publish(secret + GATEWAY(port, HTTPS("one")));
    expect(await handshake(port, "one.example.com")).toBe("expired");
    const resolved = (): string => {
      const status = rig.engine.controller.gatewayStatuses.get(keyOf("Gateway", "default", "gw"));
      const found = status?.listeners[0]?.conditions.find(({ type }) => type === "ResolvedRefs");
      return `${found?.status}/${found?.reason}: ${found?.message}`;
    };
    expect(resolved()).toMatch(/^False\/InvalidCertificateRef: .*the certificate of Secret default\/one expired at /);
    await rig.publish(good() + GATEWAY(port, HTTPS("one")));
    expect([await handshake(port, "one.example.com"), resolved()]).toEqual([
      "one",
      "True/ResolvedRefs: All references resolve.",
    ]);
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

  describe("B48: odd handshakes", () => {
    async function twoListeners(): Promise<number> {
      const { rig, web } = await rigWith();
      const port = await freePort();
      await rig.publish(
        pair("one") +
          pair("two") +
          GATEWAY(port, `${HTTPS("one")}, ${HTTPS("two")}`) +
          serviceYaml("web", [web.port]) +
          routeYaml("r", WEB),
      );
      return port;
    }

    /** What a ClientHello of TLS 1.2 with this name is answered with, until the server waits or ends. */
    async function answerTo(port: number, name: Buffer): Promise<Buffer> {
      return new Promise((resolve) => {
        let received = Buffer.alloc(0);
        const socket = connect(port, "127.0.0.1", () => socket.write(clientHello(name)));
        socket.on("data", (chunk) => {
          received = Buffer.concat([received, chunk]);
          socket.end();
        });
        socket.on("error", () => undefined);
        socket.on("close", () => resolve(received));
      });
    }
    const ALERT = 21;

    test.for<[string, Buffer, string | undefined]>([
      ["a name in capitals", Buffer.from("TWO.EXAMPLE.COM"), "two"],
      ["an address", Buffer.from("127.0.0.1"), undefined],
      ["a name of 300 bytes", Buffer.from("a".repeat(300)), undefined],
      ["empty, which is none", Buffer.alloc(0), "one"],
      ["a NUL in the name", Buffer.from("one.example.com\0.evil.example"), undefined],
      ["bytes that are no name", Buffer.from([0xff, 0xfe, 0x0a, 0x0d]), undefined],
    ])("SNI is %s", async ([, name, expected]) => {
      const port = await twoListeners();
      const answer = await answerTo(port, name);
      if (expected === undefined) expect([ALERT, undefined]).toContain(answer[0]);
      else expect(answer.toString("latin1")).toContain(`${expected}.example.com`);
      expect(await handshake(port, "one.example.com")).toBe("one");
    });

    test("versions before TLS 1.2 are refused", async () => {
      const port = await twoListeners();
      for (const version of ["TLSv1", "TLSv1.1"] as const) {
        const options = { minVersion: version, maxVersion: version, ciphers: "DEFAULT@SECLEVEL=0" };
        expect(await handshake(port, "one.example.com", options)).toMatch(/PROTOCOL|ECONNRESET|ALERT/i);
      }
      expect(await handshake(port, "one.example.com", { maxVersion: "TLSv1.2" })).toBe("one");
    });

    test("a client cannot renegotiate", async () => {
      const port = await twoListeners();
      const options = { host: "127.0.0.1", port, servername: "one.example.com", rejectUnauthorized: false };
      const socket = tlsConnect({ ...options, maxVersion: "TLSv1.2" });
      await new Promise((resolve) => socket.once("secureConnect", resolve));
      const outcome = await new Promise<string>((resolve) => {
        socket.on("error", (error: Error) => resolve(error.message));
        socket.on("close", () => resolve("closed"));
        socket.renegotiate({}, (error: unknown) => resolve(error === null ? "renegotiated" : "refused"));
      });
      expect(outcome).not.toBe("renegotiated");
      socket.destroy();
    });

    test("a Host of another listener than the handshake's is misdirected, a session resumed under another name too", async () => {
      const port = await twoListeners();
      let session: Buffer | undefined;
      const ask = async (servername: string, host: string): Promise<number | undefined> =>
        new Promise((resolve, reject) => {
          const tls = { servername, rejectUnauthorized: false, ...(session === undefined ? {} : { session }) };
          const outgoing = request({ host: "127.0.0.1", port, headers: { host }, agent: false, ...tls }, (incoming) => {
            incoming.resume();
            incoming.on("end", () => resolve(incoming.statusCode));
          });
          outgoing.on("socket", (socket) => socket.on("session", (ticket: Buffer) => (session ??= ticket)));
          outgoing.on("error", reject);
          outgoing.end();
        });
      expect(await ask("one.example.com", "one.example.com")).toBe(200);
      expect(session).toBeDefined();
      expect(await ask("one.example.com", "two.example.com")).toBe(421);
      expect(await ask("two.example.com", "two.example.com")).toBe(200);
      expect(await ask("two.example.com", "one.example.com")).toBe(421);
      expect(await ask("one.example.com", `ONE.example.com:${port}`)).toBe(200);
    });
  });

  test("the end", () => rmSync(folder, { recursive: true, force: true }));
});
