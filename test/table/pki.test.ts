import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { createServer, connect, type TLSSocket } from "node:tls";
import { describe, expect, test } from "vitest";
import type { Identity } from "../../src/pki/certificate.ts";
import { type Authority, authorityAt, credentialsAt } from "../../src/pki/authority.ts";
import { controllerIdentity, proxyIdentity, proxyUri } from "../../src/pki/identity.ts";

const DAY = 86_400_000;
const NOW = Date.now();
const LIFE = { now: NOW, lifeMs: 7 * DAY };
const certificates = (pem: string): string[] => pem.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? [];

/** What a server of these credentials knows of a client of those, by URI; undefined: it does not let it in. */
async function handshake(
  server: ReturnType<typeof credentialsAt>,
  client: ReturnType<typeof credentialsAt>,
): Promise<string | undefined> {
  const listening = createServer({
    ...{ cert: server.certificate, key: server.key, ca: server.trusted },
    ...{ requestCert: true, rejectUnauthorized: true, minVersion: "TLSv1.3" },
  }).listen(0, "127.0.0.1");
  await once(listening, "listening");
  const { port } = listening.address() as { port: number };
  const names = new Promise<string | undefined>((resolve) => {
    listening.once("secureConnection", (socket: TLSSocket) => {
      resolve(socket.getPeerCertificate().subjectaltname);
      socket.destroy();
    });
    listening.once("tlsClientError", () => resolve(undefined));
  });
  const socket = connect({
    port,
    host: "127.0.0.1",
    ...{ cert: client.certificate, key: client.key, ca: client.trusted },
    checkServerIdentity: () => undefined,
  });
  socket.on("error", () => socket.destroy());
  const found = await names;
  socket.destroy();
  listening.close();
  return found;
}

describe("certificates that the controller issues", () => {
  const authority = authorityAt(undefined, NOW);
  const server = credentialsAt(authority, controllerIdentity(["xds.example"]), undefined, LIFE);
  const proxy = credentialsAt(authority, proxyIdentity("shop/public"), undefined, LIFE);

  test("a proxy is known by the URI of its Gateway, over TLS 1.3, and the controller by its own and its names", async () => {
    expect(await handshake(server, proxy)).toBe(`URI:${proxyUri("shop/public")}`);
    const { subjectAltName, ca, keyUsage } = new X509Certificate(server.certificate);
    expect([subjectAltName, ca, keyUsage]).toEqual([
      "URI:spiffe://serviceroute.dev/controller, DNS:xds.example",
      false,
      ["1.3.6.1.5.5.7.3.1"],
    ]);
  });

  test("nobody else's signature is believed, and a leaf signs nothing", async () => {
    const other = authorityAt(undefined, NOW);
    expect(await handshake(server, { ...credentialsAt(other, proxyIdentity("shop/public"), undefined, LIFE) })).toBe(
      undefined,
    );
    const asAuthority: Authority = { current: proxy, trusted: authority.trusted };
    const forged = credentialsAt(asAuthority, proxyIdentity("shop/other"), undefined, LIFE);
    expect(await handshake(server, { ...forged, certificate: forged.certificate + proxy.certificate })).toBe(undefined);
  });

  test("what is good is kept for two thirds of its life", () => {
    const at = (now: number): boolean =>
      credentialsAt(authority, proxyIdentity("shop/public"), proxy, { ...LIFE, now }) === proxy;
    expect([0, 4, 4.6, 4.7, 8].map((days) => at(NOW + days * DAY))).toEqual([true, true, true, false, false]);
  });

  test.each([
    ["for another Gateway", { identity: proxyIdentity("shop/other") }],
    ["of another authority", { authority: authorityAt(undefined, NOW) }],
    ["that cannot be read", { has: { ...proxy, certificate: "nothing" } }],
    ["with another's key", { has: { ...proxy, key: server.key } }],
    ["for fewer names", { identity: { ...proxyIdentity("shop/public"), dns: ["more.example"] } }],
    ["without its key", { has: { ...proxy, key: "" } }],
    ["that trusts others", { has: { ...proxy, trusted: "" } }],
  ])("what is there %s is replaced", (_, change) => {
    const {
      authority: by,
      identity,
      has,
    } = {
      ...{ authority, identity: proxyIdentity("shop/public"), has: proxy },
      ...change,
    };
    expect(credentialsAt(by, identity, has, LIFE)).not.toBe(has);
  });
});

describe("the authority", () => {
  const years = (count: number): number => NOW + (count - 7.5) * 365 * DAY;
  const first = authorityAt(undefined, years(0));

  test("stays as it is for half of its life", () => {
    expect(authorityAt(first, years(4.9))).toBe(first);
  });

  test("is followed by one that all trust before it signs, and no connection is refused on the way", async () => {
    const known = authorityAt(first, years(5));
    expect([known.current, certificates(known.trusted).length]).toEqual([first.current, 2]);
    expect(authorityAt(known, years(7.4))).toBe(known);
    const over = authorityAt(known, years(7.5));
    expect([over.current, over.next, certificates(over.trusted).length]).toEqual([known.next, undefined, 2]);
    const issued = (by: Authority, whom: Identity) => credentialsAt(by, whom, undefined, LIFE);
    // Whoever has learnt of the one and whoever has not: each is believed by the other.
    for (const [server, client] of [
      [known, first],
      [first, known],
      [over, known],
      [known, over],
    ] as const)
      expect(
        await handshake(issued(server, controllerIdentity([])), issued(client, proxyIdentity("a/b"))),
      ).toBeDefined();
  });

  test("whose successor was made late waits a day for it, and takes it at once at its own end", () => {
    const late = authorityAt(first, years(8));
    expect([late.current, late.next !== undefined]).toEqual([first.current, true]);
    expect(authorityAt(late, years(8) + DAY / 2)).toBe(late);
    expect(authorityAt(late, years(8) + DAY).current).toBe(late.next);
    expect(authorityAt(first, years(10.1)).current).not.toBe(first.current);
  });

  test("that has expired is trusted no more", () => {
    const over = authorityAt(authorityAt(first, years(5)), years(7.5));
    const later = authorityAt(authorityAt(over, years(10.1)), years(10.2));
    expect(certificates(later.trusted)).not.toContain(first.current.certificate.trim());
  });

  test("that cannot be read is replaced", () => {
    const broken: Authority = { current: { certificate: "x", key: "y" }, trusted: "" };
    expect(authorityAt(broken, NOW).trusted).toContain("BEGIN CERTIFICATE");
  });
});
