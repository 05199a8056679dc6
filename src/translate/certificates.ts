import { X509Certificate, createPrivateKey } from "node:crypto";
import { createSecureContext } from "node:tls";
import { GATEWAY_GROUP } from "../api/kinds.ts";
import { type Key, displayName, keyOf } from "../api/keys.ts";
import type { KubeObject } from "../api/objects.ts";
import { type Certificate, PrivateKey } from "../routing/listener.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";
import { grantMessage, isPermitted } from "./grants.ts";
import { terminatesTls } from "./tcp.ts";
import type { GatewayView, ListenerView } from "./gateways.ts";

export interface CertificateError {
  readonly field: string;
  readonly reason: "InvalidCertificateRef" | "RefNotPermitted";
  readonly message: string;
}
export interface ListenerCertificates {
  readonly certificates: readonly Certificate[];
  readonly errors: readonly CertificateError[];
}

/** OpenSSL's clients refuse a chain of more than 100 KiB, which is a third more as PEM. */
const MAX_CHAIN_BYTES = 136 * 1024;

type Parsed =
  { readonly ok: true; readonly certificate: Certificate } | { readonly ok: false; readonly message: string };

const decoded = (base64: string | undefined): string => Buffer.from(base64 ?? "", "base64").toString("latin1");

function namesOf(certificate: X509Certificate): string[] {
  return [...(certificate.subjectAltName ?? "").matchAll(/DNS:([^,"\s]+)/g)].map(([, name = ""]) => name.toLowerCase());
}

/** What TLS itself says of the whole chain and the key: weak keys and broken intermediates show only there. */
function servingProblem(cert: string, key: string): string | undefined {
  try {
    createSecureContext({ cert, key, minVersion: "TLSv1.2" });
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "refused";
  }
}

/** A chain and its key, checked to belong together, so that no half-valid pair ever reaches a data plane (B46). */
export function parseCertificate(secret: string, chain: string, key: string): Parsed {
  if (!chain.includes("-----BEGIN CERTIFICATE-----"))
    return { ok: false, message: `tls.crt of ${secret} holds no PEM certificate` };
  if (!key.includes("PRIVATE KEY-----")) return { ok: false, message: `tls.key of ${secret} holds no PEM private key` };
  if (chain.length > MAX_CHAIN_BYTES)
    return { ok: false, message: `tls.crt of ${secret} is larger than ${MAX_CHAIN_BYTES / 1024} KiB` };
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(chain);
  } catch {
    return { ok: false, message: `tls.crt of ${secret} cannot be parsed` };
  }
  try {
    if (!leaf.checkPrivateKey(createPrivateKey(key)))
      return { ok: false, message: `tls.key of ${secret} does not belong to tls.crt` };
  } catch {
    return { ok: false, message: `tls.key of ${secret} cannot be parsed; encrypted keys are not supported` };
  }
  const refusal = servingProblem(chain, key);
  if (refusal !== undefined) return { ok: false, message: `the certificate of ${secret} cannot be served: ${refusal}` };
  const [validFrom, validTo] = [leaf.validFromDate.getTime(), leaf.validToDate.getTime()];
  return {
    ok: true,
    certificate: { secret, chain, key: new PrivateKey(key), names: namesOf(leaf), validFrom, validTo },
  };
}

const secretName = (key: Key<"Secret">): string => `Secret ${displayName(key)}`;

export function parseSecret(secret: KubeObject<"Secret">): Parsed {
  const name = secretName(secret.key);
  const { type = "kubernetes.io/tls", data } = secret;
  if (type !== "kubernetes.io/tls") return { ok: false, message: `${name} is of type ${type}, not kubernetes.io/tls` };
  return parseCertificate(name, decoded(data?.["tls.crt"]), decoded(data?.["tls.key"]));
}

/** Secrets that a Gateway may read, whether they exist or not: what a source must watch, and nothing else (S25). */
export function referencedSecrets(snapshot: ClusterSnapshot, gateway: GatewayView): readonly Key<"Secret">[] {
  return gateway.listeners.flatMap((listener) =>
    refsOf(gateway, listener).flatMap(({ to, field }) =>
      problemWith(snapshot, gateway, to, field) === undefined ? [keyOf("Secret", to.namespace, to.name)] : [],
    ),
  );
}
function refsOf(gateway: GatewayView, listener: ListenerView) {
  if (!terminatesTls(listener.spec) || listener.refusal !== undefined) return [];
  const index = gateway.listeners.indexOf(listener);
  return (listener.spec.tls?.certificateRefs ?? []).map((ref, i) => ({
    field: `listeners[${index}].tls.certificateRefs[${i}]`,
    to: {
      group: ref.group ?? "",
      kind: ref.kind ?? "Secret",
      namespace: ref.namespace ?? gateway.namespace,
      name: ref.name,
    },
  }));
}

type Target = ReturnType<typeof refsOf>[number]["to"];

function problemWith(
  snapshot: ClusterSnapshot,
  gateway: GatewayView,
  to: Target,
  field: string,
): CertificateError | undefined {
  if (to.group !== "" || to.kind !== "Secret") {
    return { field, reason: "InvalidCertificateRef", message: `${to.kind} cannot hold a certificate; use a Secret` };
  }
  const from = { group: GATEWAY_GROUP, kind: "Gateway", namespace: gateway.namespace };
  if (isPermitted(snapshot, from, to)) return undefined;
  return { field, reason: "RefNotPermitted", message: grantMessage(from, to) };
}

/** What is known beside the objects. */
export interface Surroundings {
  /** Why a Secret cannot be seen; undefined when it can, or is simply not there. */
  readonly secretProblem: (key: Key<"Secret">) => string | undefined;
  /** Whether a time, in milliseconds since 1970, has passed; undefined while nobody has told the time. */
  readonly hasPassed: (time: number) => boolean | undefined;
}

/** A certificate made this moment is good: clocks differ, and ours is looked at now and then only. */
const SKEW_MS = 60_000;

function untimely({ secret, validFrom, validTo }: Certificate, { hasPassed }: Surroundings): string | undefined {
  if (hasPassed(validTo) === true) return `the certificate of ${secret} expired at ${new Date(validTo).toISOString()}`;
  if (hasPassed(validFrom - SKEW_MS) !== false) return undefined;
  return `the certificate of ${secret} is not valid before ${new Date(validFrom).toISOString()}`;
}

interface Choice {
  readonly certificate?: Certificate | undefined;
  readonly problem?: string;
}

/** One out of its time is served all the same where no better one is known: only the client can judge what its clock says. */
function chooseCertificate(
  snapshot: ClusterSnapshot,
  key: Key<"Secret">,
  last: readonly Certificate[],
  surroundings: Surroundings,
): Choice {
  const name = secretName(key);
  const secret = snapshot.get(key);
  if (secret === undefined) return { problem: surroundings.secretProblem(key) ?? `${name} does not exist` };
  const kept = last.find((one) => one.secret === name);
  const parsed = parseSecret(secret);
  if (!parsed.ok) return { certificate: kept, problem: parsed.message };
  const { certificate } = parsed;
  const problem = untimely(certificate, surroundings);
  if (problem === undefined) return { certificate };
  const isKept = kept !== undefined && untimely(kept, surroundings) === undefined;
  return { certificate: isKept ? kept : certificate, problem };
}

/**
 * The certificates of one HTTPS listener. An update that cannot be used keeps the last good certificate of the same
 * Secret; a Secret that is gone, or no longer permitted, takes its certificate with it (F28).
 */
export function listenerCertificates(
  snapshot: ClusterSnapshot,
  gateway: GatewayView,
  listener: ListenerView,
  last: readonly Certificate[],
  surroundings: Surroundings,
): ListenerCertificates {
  const certificates: Certificate[] = [];
  const errors: CertificateError[] = [];
  const refs = refsOf(gateway, listener);
  if (refs.length === 0 && terminatesTls(listener.spec) && listener.refusal === undefined) {
    const field = `listeners[${gateway.listeners.indexOf(listener)}].tls.certificateRefs`;
    errors.push({ field, reason: "InvalidCertificateRef", message: "an HTTPS listener needs a certificate" });
  }
  for (const { field, to } of refs) {
    const refusal = problemWith(snapshot, gateway, to, field);
    if (refusal !== undefined) {
      errors.push(refusal);
      continue;
    }
    const key = keyOf("Secret", to.namespace, to.name);
    const { certificate, problem } = chooseCertificate(snapshot, key, last, surroundings);
    if (certificate !== undefined) certificates.push(certificate);
    if (problem !== undefined) errors.push({ field, reason: "InvalidCertificateRef", message: problem });
  }
  return { certificates, errors };
}
