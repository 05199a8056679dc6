import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import type { ListenerId } from "../../src/routing/listener.ts";
import { parseCertificate, parseSecret } from "../../src/translate/certificates.ts";
import { type Pipeline, objectsFrom, pipeline, routeYaml } from "../support/objects.ts";
import { Pki } from "../support/pki.ts";

const folder = mkdtempSync(join(tmpdir(), "serviceroute-pki-"));
let pki: Pki;
beforeAll(() => {
  pki = new Pki(folder);
  pki.issue("one", "/CN=one", "subjectAltName=DNS:ONE.example.com,DNS:*.one.example.com,IP:192.0.2.1,DNS:*.test");
  pki.issue("other", "/CN=other", "subjectAltName=DNS:other.example.com");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const read = (file: string): string => readFileSync(join(folder, file), "utf8");
const issued = (name: string, ...rest: Parameters<Pki["issue"]> extends [string, ...infer R] ? R : never) => {
  pki.issue(name, ...rest);
  return { cert: read(`${name}.crt`), key: read(`${name}.key`) };
};
const NAME = "Secret default/one";
const BROKEN = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
/** What is said of a chain and a key: the names that it is for, or what is wrong. */
const verdict = (cert: string, key: string): readonly string[] | string => {
  const parsed = parseCertificate(NAME, cert, key);
  return parsed.ok ? parsed.certificate.names : parsed.message;
};

describe("B46: a certificate and its key", () => {
  test("are kept with the names that they are for, lower-case, and their time", () => {
    const parsed = parseCertificate(NAME, read("one.crt"), read("one.key"));
    if (!parsed.ok) throw new Error(parsed.message);
    const { secret, chain, key, names, validFrom, validTo } = parsed.certificate;
    expect({ secret, chain, names }).toEqual({
      secret: NAME,
      chain: read("one.crt"),
      names: ["one.example.com", "*.one.example.com", "*.test"],
    });
    expect(key.reveal()).toBe(read("one.key"));
    expect(validTo - validFrom).toBe(2 * 24 * 3600 * 1000);
    expect(Math.abs(Date.now() - validFrom)).toBeLessThan(3600 * 1000);
  });

  test.for(["EC P-256", "RSA-2048", "Ed25519"] as const)("of kind %s are served", (kind) => {
    const { cert, key } = issued("kind", "/CN=kind", "subjectAltName=DNS:kind.test", kind);
    expect(verdict(cert, key)).toEqual(["kind.test"]);
  });

  test("with a common name alone name no host: their listener's first certificate is shown all the same", () => {
    const { cert, key } = issued("cn", "/CN=cn.test", "");
    expect(verdict(cert, key)).toEqual([]);
  });

  test("with a NUL in a name are not for what stands before it", () => {
    const extension =
      "2.5.29.17=ASN1:SEQUENCE:san\n[san]\nname=IMPLICIT:2,FORMAT:HEX,OCT:6f6e652e74657374002e6576696c\n";
    const { cert, key } = issued("nul", "/CN=nul", extension);
    expect(verdict(cert, key)).not.toContain("one.test");
  });

  test("with lines that end in CRLF, and text around them, are served", () => {
    const crlf = (text: string): string => `Bag Attributes\n${text}`.replaceAll("\n", "\r\n");
    expect(verdict(crlf(read("one.crt")), crlf(read("one.key")))).toContain("one.example.com");
  });

  test("with a chain of a hundred are served, with one that no client takes they are not", () => {
    const chain = read("one.crt") + read("ca.crt").repeat(99);
    expect(verdict(chain, read("one.key"))).toContain("one.example.com");
    const long = read("one.crt") + read("ca.crt").repeat(2000);
    expect(long.length).toBeGreaterThan(1024 * 1024);
    expect(verdict(long, read("one.key"))).toBe(`tls.crt of ${NAME} is larger than 136 KiB`);
  });

  test.for<[string, () => readonly [string, string], string | RegExp]>([
    ["without a certificate", () => ["", read("one.key")], `tls.crt of ${NAME} holds no PEM certificate`],
    ["that are no PEM", () => ["garbage", read("one.key")], `tls.crt of ${NAME} holds no PEM certificate`],
    ["without a key", () => [read("one.crt"), ""], `tls.key of ${NAME} holds no PEM private key`],
    ["the wrong way round", () => [read("one.key"), read("one.crt")], `tls.crt of ${NAME} holds no PEM certificate`],
    ["whose certificate is broken", () => [BROKEN, read("one.key")], `tls.crt of ${NAME} cannot be parsed`],
    [
      "whose key is broken",
      () => [read("one.crt"), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"],
      `tls.key of ${NAME} cannot be parsed; encrypted keys are not supported`,
    ],
    [
      "whose key belongs to another",
      () => [read("one.crt"), read("other.key")],
      `tls.key of ${NAME} does not belong to tls.crt`,
    ],
    [
      "whose second certificate is broken",
      () => [read("one.crt") + BROKEN, read("one.key")],
      /^the certificate of Secret default\/one cannot be served: ERR_/,
    ],
    [
      "of RSA-1024",
      () => {
        const { cert, key } = issued("weak", "/CN=weak", "", "RSA-1024");
        return [cert, key];
      },
      /^the certificate of Secret default\/one cannot be served: ERR_SSL_EE_KEY_TOO_SMALL/,
    ],
  ])("%s are refused, with the reason", ([, pair, expected]) => {
    const said = verdict(...pair());
    if (typeof expected === "string") expect(said).toBe(expected);
    else expect(said).toMatch(expected);
  });

  test("of which the key is encrypted are refused", () => {
    const key = pki.encrypted("one");
    expect(verdict(read("one.crt"), key)).toBe(`tls.key of ${NAME} cannot be parsed; encrypted keys are not supported`);
  });
});

function secretYaml(name: string, files: string, namespace = "default", type = ", type: kubernetes.io/tls"): string {
  const data = (file: string): string => Buffer.from(read(file)).toString("base64");
  return `---\n{apiVersion: v1, kind: Secret, metadata: {name: ${name}, namespace: ${namespace}}${type}, data: {tls.crt: ${data(`${files}.crt`)}, tls.key: ${data(`${files}.key`)}}}\n`;
}
const parsedSecret = (yaml: string) => {
  const [secret] = objectsFrom(yaml);
  return parseSecret(secret as never);
};

describe("B46: a Secret", () => {
  test("is one of type kubernetes.io/tls, or of none, as in a folder", () => {
    expect(parsedSecret(secretYaml("one", "one"))).toMatchObject({ ok: true, certificate: { secret: NAME } });
    expect(parsedSecret(secretYaml("one", "one", "default", ""))).toMatchObject({ ok: true });
    expect(parsedSecret(secretYaml("one", "one", "default", ", type: Opaque"))).toEqual({
      ok: false,
      message: `${NAME} is of type Opaque, not kubernetes.io/tls`,
    });
  });

  test("without data holds no certificate", () => {
    for (const data of ["", ", data: {}", ', data: {tls.crt: "", tls.key: ""}'])
      expect(
        parsedSecret(
          `{apiVersion: v1, kind: Secret, metadata: {name: one, namespace: default}, type: kubernetes.io/tls${data}}`,
        ),
      ).toEqual({ ok: false, message: `tls.crt of ${NAME} holds no PEM certificate` });
  });
});

describe("certificates of a listener", () => {
  const ONE = "default/gw/https" as ListenerId;
  const gatewayYaml = (refs: string, more = "", listener = ""): string =>
    `---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec: {gatewayClassName: serviceroute, listeners: [{name: https, port: 443, protocol: HTTPS${listener}, tls: {${refs}}}${more}]}\n`;
  const refs = (...names: string[]): string =>
    `certificateRefs: [${names.map((name) => `{name: ${name}}`).join(", ")}]`;
  const served = ({ translator }: Pipeline): readonly (readonly [string, string])[] | undefined =>
    translator.table.listeners.get(ONE)?.certificates.map(({ secret, names }) => [secret, names[0] ?? ""]);
  const DAY = 24 * 3600 * 1000;

  /** What the listener's ResolvedRefs says after each step. */
  function rig() {
    const made = pipeline();
    let last = "";
    const told = (output: ReturnType<Pipeline["settle"]>): string => {
      const status = output?.gatewayStatuses.get(keyOf("Gateway", "default", "gw"));
      const found = status?.listeners[0]?.conditions.find(({ type }) => type === "ResolvedRefs");
      return (last = found === undefined ? last : `${found.status}/${found.reason}: ${found.message}`);
    };
    return {
      ...made,
      say: (yaml: string): string => told(made.apply(yaml)),
      settled: (): string => told(made.settle()),
    };
  }
  const GOOD = "True/ResolvedRefs: All references resolve.";

  test("come from each of its Secrets, in their order", () => {
    const made = rig();
    const yaml = secretYaml("one", "one") + secretYaml("other", "other") + gatewayYaml(refs("other", "one"));
    expect(made.say(yaml)).toBe(GOOD);
    expect(served(made)).toEqual([
      ["Secret default/other", "other.example.com"],
      ["Secret default/one", "one.example.com"],
    ]);
  });

  test("that are not there leave the others, or no listener", () => {
    const made = rig();
    expect(made.say(secretYaml("one", "one") + gatewayYaml(refs("none", "one")))).toBe(
      "False/InvalidCertificateRef: listeners[0].tls.certificateRefs[0]: Secret default/none does not exist",
    );
    expect(served(made)).toEqual([[NAME, "one.example.com"]]);
    made.say(gatewayYaml(refs("none")));
    expect(served(made)).toBeUndefined();
  });

  test.for(["", "certificateRefs: []"])("must be referred to: {%s}", (none) => {
    const made = rig();
    expect(made.say(gatewayYaml(none))).toBe(
      "False/InvalidCertificateRef: listeners[0].tls.certificateRefs: an HTTPS listener needs a certificate",
    );
    expect(served(made)).toBeUndefined();
  });

  test("that an HTTP listener refers to are not looked at", () => {
    const made = rig();
    const wanted: string[][] = [];
    made.translator.onReferencedSecrets((keys) => wanted.push([...keys]));
    made.say(gatewayYaml(refs("one"), `, {name: http, port: 80, protocol: HTTP, tls: {${refs("never")}}}`));
    made.say(gatewayYaml(refs("other"), "", ", hostname: a_b"));
    expect(wanted).toEqual([["Secret/default/one"], []]);
  });

  test.for([
    ["kind: ConfigMap", "ConfigMap"],
    ["group: example.com", "Secret"],
  ])("come from Secrets alone, not from {%s}", ([field, kind]) => {
    const made = rig();
    expect(made.say(secretYaml("one", "one") + gatewayYaml(`certificateRefs: [{name: one, ${field}}]`))).toBe(
      `False/InvalidCertificateRef: listeners[0].tls.certificateRefs[0]: ${kind} cannot hold a certificate; use a Secret`,
    );
    expect(served(made)).toBeUndefined();
  });

  test("are the same while nothing of them changes; renewed for the same key, of another Secret or one more are not", () => {
    issued("renewed", "/CN=renewed", "subjectAltName=DNS:renewed.test");
    const [first, copy] = [secretYaml("renewed", "renewed"), secretYaml("copy", "renewed")];
    pki.renew("renewed");
    const second = secretYaml("renewed", "renewed");
    const made = rig();
    const listener = () => made.translator.table.listeners.get(ONE)!;
    made.say(first + copy + gatewayYaml(refs("renewed")));
    const known = listener();
    made.say(first.replace("data: {", "data: {ca.crt: eA==, "));
    expect(listener()).toBe(known);
    made.say(second);
    const renewed = listener();
    expect(renewed.certificates[0]?.chain).not.toBe(known.certificates[0]?.chain);
    expect(renewed.digest).not.toBe(known.digest);
    made.say(first + gatewayYaml(refs("copy")));
    expect(listener().certificates.map(({ secret }) => secret)).toEqual(["Secret default/copy"]);
    made.say(gatewayYaml(refs("copy", "renewed")));
    expect(listener().certificates.map(({ secret }) => secret)).toEqual([
      "Secret default/copy",
      "Secret default/renewed",
    ]);
    made.say(gatewayYaml(refs("copy")));
    expect(listener().certificates).toHaveLength(1);
  });

  test("that are missing are said of the routes there, too: waiting would not bring them", () => {
    const made = rig();
    const route = keyOf("ServiceRoute", "default", "r");
    const programmed = (output: ReturnType<Pipeline["settle"]>): string => {
      const found = output?.routeStatuses.get(route)?.conditions.find(({ type }) => type === "Programmed");
      return `${found?.status}/${found?.reason}: ${found?.message}`;
    };
    const yaml = routeYaml(
      "r",
      "parentRefs: [{name: gw}]\nrules: [{filters: [{type: DirectResponse, directResponse: {statusCode: 204}}]}]",
    );
    expect(programmed(made.apply(gatewayYaml(refs("one")) + yaml))).toBe(
      "False/ListenerNotProgrammed: Listener default/gw/https has no usable certificate; the status of its Gateway says more.",
    );
    expect(programmed(made.apply(secretYaml("one", "one")))).toBe(
      "Unknown/Pending: Listener default/gw/https does not serve.",
    );
  });

  test("that serve make their listener Programmed", () => {
    const made = rig();
    made.say(secretYaml("one", "one") + gatewayYaml(refs("one")));
    made.translator.setListenerState(ONE, { kind: "serving" });
    const status = made.settle()?.gatewayStatuses.get(keyOf("Gateway", "default", "gw"));
    expect(status?.listeners[0]?.conditions.find(({ type }) => type === "Programmed")?.status).toBe("True");
  });

  test("of the built-in gateway is what it was started with, and without one there is no HTTPS", () => {
    const parsed = parseCertificate("--tls-cert-file", read("one.crt"), read("one.key"));
    if (!parsed.ok) throw new Error(parsed.message);
    const { certificate } = parsed;
    const listeners = (rigged: Pipeline): unknown[] =>
      [...rigged.translator.table.listeners.values()].map(({ id, protocol, port, certificates }) => [
        id,
        protocol,
        port,
        certificates,
      ]);
    const started = pipeline({ builtin: { httpPort: 1, httpsPort: 2, certificate } });
    started.settle();
    expect(listeners(started)).toEqual([
      ["/builtin/http", "HTTP", 1, []],
      ["/builtin/https", "HTTPS", 2, [certificate]],
    ]);
    const bare = pipeline({ builtin: { httpPort: 1, httpsPort: 2 } });
    bare.settle();
    expect(listeners(bare)).toEqual([["/builtin/http", "HTTP", 1, []]]);
  });

  test("from another namespace need a grant, and go with it", () => {
    const made = rig();
    const grant = `---\napiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: g, namespace: far}\nspec: {from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: default}], to: [{group: "", kind: Secret}]}\n`;
    const yaml = secretYaml("one", "one", "far") + gatewayYaml("certificateRefs: [{name: one, namespace: far}]");
    expect(made.say(yaml)).toContain("False/RefNotPermitted: listeners[0].tls.certificateRefs[0]: ");
    expect(made.say(grant)).toBe(GOOD);
    expect(served(made)).toEqual([["Secret far/one", "one.example.com"]]);
    made.store.remove(keyOf("ReferenceGrant", "far", "g"));
    expect(made.settled()).toContain("False/RefNotPermitted");
    expect(served(made)).toBeUndefined();
  });

  test("F28: which become unusable are kept, those of another Secret are not taken for them, and deleted ones go", () => {
    const made = rig();
    const bad = secretYaml("one", "one", "default", ", type: Opaque");
    made.say(secretYaml("one", "one") + secretYaml("other", "other") + gatewayYaml(refs("other", "one")));
    expect(made.say(bad)).toBe(
      `False/InvalidCertificateRef: listeners[0].tls.certificateRefs[1]: ${NAME} is of type Opaque, not kubernetes.io/tls`,
    );
    expect(served(made)?.map(([secret]) => secret)).toEqual(["Secret default/other", NAME]);
    expect(made.say(secretYaml("one", "other"))).toBe(GOOD);
    expect(served(made)?.[1]).toEqual([NAME, "other.example.com"]);
    made.store.remove(keyOf("Secret", "default", "one"));
    expect(made.settled()).toContain(`${NAME} does not exist`);
    expect(served(made)?.map(([secret]) => secret)).toEqual(["Secret default/other"]);
  });

  test("that the source cannot see have its reason, for as long as it has one", () => {
    const made = rig();
    const key = keyOf("Secret", "default", "one");
    made.translator.setSecretProblem(key, "Secret default/one may not be read");
    expect(made.say(gatewayYaml(refs("one")))).toContain(": Secret default/one may not be read");
    made.translator.setSecretProblem(key, "Secret default/one has not been read yet");
    expect(made.settled()).toContain(": Secret default/one has not been read yet");
    made.translator.setSecretProblem(key, undefined);
    expect(made.settled()).toContain(": Secret default/one does not exist");
  });

  test("F28: out of their time are served with a word, and give way to none that are in it", () => {
    const made = rig();
    const end = parseCertificate(NAME, read("one.crt"), read("one.key"));
    if (!end.ok) throw new Error(end.message);
    const { validFrom, validTo } = end.certificate;
    expect(made.say(secretYaml("one", "one") + gatewayYaml(refs("one")))).toBe(GOOD);
    made.translator.setTime(validTo - 1);
    expect(made.settled()).toBe(GOOD);
    made.translator.setTime(validTo);
    const field = "False/InvalidCertificateRef: listeners[0].tls.certificateRefs[0]";
    expect(made.settled()).toBe(`${field}: the certificate of ${NAME} expired at ${new Date(validTo).toISOString()}`);
    expect(served(made)).toEqual([[NAME, "one.example.com"]]);
    made.translator.setTime(validFrom - DAY);
    expect(made.settled()).toBe(
      `${field}: the certificate of ${NAME} is not valid before ${new Date(validFrom).toISOString()}`,
    );
    expect(served(made)).toEqual([[NAME, "one.example.com"]]);
    made.translator.setTime(validFrom - 60_001);
    expect(made.settled()).toContain("is not valid before");
    made.translator.setTime(validFrom - 60_000);
    expect(made.settled()).toBe(GOOD);
  });

  test("F28: that come out of their time do not replace one that is in it", () => {
    const made = rig();
    pki.issue("long", "/CN=long", "subjectAltName=DNS:long.example.com", "EC P-256", 9);
    made.translator.setTime(Date.now() + 5 * DAY);
    expect(made.say(secretYaml("one", "long") + gatewayYaml(refs("one")))).toBe(GOOD);
    expect(made.say(secretYaml("one", "one"))).toContain(`the certificate of ${NAME} expired at`);
    expect(served(made)).toEqual([[NAME, "long.example.com"]]);
    made.translator.setTime(Date.now() + 10 * DAY);
    made.settled();
    expect(served(made)).toEqual([[NAME, "one.example.com"]]);
  });
});
