import { X509Certificate, createPrivateKey } from "node:crypto";
import { createSecureContext } from "node:tls";
import { GATEWAY_GROUP } from "../api/kinds.ts";
import { keyOf } from "../api/keys.ts";
import type { KubeObject } from "../api/objects.ts";
import { type Certificate, PrivateKey } from "../routing/listener.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";
import { grantMessage, isPermitted } from "./grants.ts";
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
  return { ok: true, certificate: { secret, chain, key: new PrivateKey(key), names: namesOf(leaf) } };
}

export function parseSecret(secret: KubeObject<"Secret">): Parsed {
  const name = `Secret ${secret.metadata.namespace}/${secret.metadata.name}`;
  const { type = "kubernetes.io/tls", data } = secret;
  if (type !== "kubernetes.io/tls") return { ok: false, message: `${name} is of type ${type}, not kubernetes.io/tls` };
  return parseCertificate(name, decoded(data?.["tls.crt"]), decoded(data?.["tls.key"]));
}

/** Secrets that a Gateway may read, whether they exist or not: what a source must watch, and nothing else (S25). */
export function referencedSecrets(snapshot: ClusterSnapshot, gateway: GatewayView): KubeKeys {
  return gateway.listeners.flatMap((listener) =>
    refsOf(gateway, listener).flatMap(({ to, field }) =>
      problemWith(snapshot, gateway, to, field) === undefined ? [keyOf("Secret", to.namespace, to.name)] : [],
    ),
  );
}
type KubeKeys = readonly ReturnType<typeof keyOf<"Secret">>[];

function refsOf(gateway: GatewayView, listener: ListenerView) {
  if (listener.protocol !== "HTTPS" || listener.refusal !== undefined) return [];
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

/** Why a Secret that exists cannot be seen, told by the source; undefined when it is simply not there. */
export type SecretProblem = (namespace: string, name: string) => string | undefined;

/**
 * The certificates of one HTTPS listener. An update that cannot be used keeps the last good certificate of the same
 * Secret; a Secret that is gone, or no longer permitted, takes its certificate with it (F28).
 */
export function listenerCertificates(
  snapshot: ClusterSnapshot,
  gateway: GatewayView,
  listener: ListenerView,
  last: readonly Certificate[],
  secretProblem: SecretProblem,
): ListenerCertificates {
  const certificates: Certificate[] = [];
  const errors: CertificateError[] = [];
  const refs = refsOf(gateway, listener);
  if (refs.length === 0 && listener.protocol === "HTTPS" && listener.refusal === undefined) {
    const field = `listeners[${gateway.listeners.indexOf(listener)}].tls.certificateRefs`;
    errors.push({ field, reason: "InvalidCertificateRef", message: "an HTTPS listener needs a certificate" });
  }
  for (const { field, to } of refs) {
    const problem = problemWith(snapshot, gateway, to, field);
    if (problem !== undefined) {
      errors.push(problem);
      continue;
    }
    const secret = snapshot.get(keyOf("Secret", to.namespace, to.name));
    const missing = secretProblem(to.namespace, to.name) ?? `Secret ${to.namespace}/${to.name} does not exist`;
    const parsed: Parsed = secret === undefined ? { ok: false, message: missing } : parseSecret(secret);
    if (parsed.ok) certificates.push(parsed.certificate);
    else errors.push({ field, reason: "InvalidCertificateRef", message: parsed.message });
    const kept =
      parsed.ok || secret === undefined
        ? undefined
        : last.find((one) => one.secret === `Secret ${to.namespace}/${to.name}`);
    if (kept !== undefined) certificates.push(kept);
  }
  return { certificates, errors };
}
