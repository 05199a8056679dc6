import { X509Certificate, createHash } from "node:crypto";
import { keyOf } from "../api/keys.ts";
import { hostnameProblem } from "../api/primitives.ts";
import type { RefReason } from "../api/condition.ts";
import type { KubeObject } from "../api/objects.ts";
import type { BackendTls } from "../routing/backend-tls.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";

type Policy = KubeObject<"BackendTLSPolicy">;
type Service = KubeObject<"Service">;
type Validation = Policy["spec"]["validation"];

interface Bundle {
  readonly pem: string;
  readonly digest: string;
}
/** How a Service port is spoken to over TLS, if at all; `id` differs wherever that differs. */
export type BackendTlsChoice =
  | { readonly kind: "cleartext" }
  | { readonly kind: "tls"; readonly tls: BackendTls; readonly id: string }
  | { readonly kind: "invalid"; readonly reason: RefReason; readonly message: string };

type Failed = Extract<BackendTlsChoice, { kind: "invalid" }>;
const failed = (message: string, reason: RefReason = "InvalidCACertificateRef"): Failed => ({
  kind: "invalid",
  reason,
  message,
});
const shortHash = (text: string): string => createHash("sha256").update(text).digest("base64url").slice(0, 12);

/** Policies for a Service port, the one that counts first: its own before the whole Service's, then the older one. */
function policyFor(snapshot: ClusterSnapshot, { metadata }: Service, portName: string | undefined): Policy | undefined {
  const { namespace, name } = metadata;
  const specificity = ({ spec }: Policy): number => {
    const refs = spec.targetRefs.filter((ref) => ref.group === "" && ref.kind === "Service" && ref.name === name);
    if (portName !== undefined && refs.some(({ sectionName }) => sectionName === portName)) return 2;
    return refs.some(({ sectionName }) => sectionName === undefined) ? 1 : 0;
  };
  const age = ({ metadata: { creationTimestamp } }: Policy): string => creationTimestamp;
  const [first] = snapshot
    .backendTlsPoliciesOf(namespace, name)
    .filter((policy) => specificity(policy) > 0)
    .toSorted((a, b) => specificity(b) - specificity(a) || (age(a) < age(b) ? -1 : age(a) > age(b) ? 1 : 0));
  return first;
}

/** @source Gateway API v1 PreciseHostname, which is no address. The API server checks it; what comes from files nobody else has. */
const PRECISE_HOSTNAME = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

const isPreciseHostname = (hostname: string): boolean =>
  PRECISE_HOSTNAME.test(hostname) && hostnameProblem(hostname) === undefined;

const bundles = new WeakMap<KubeObject<"ConfigMap">, Bundle | string>();

/** The certificates of a ConfigMap, or what is wrong with them. */
function bundleOf(configMap: KubeObject<"ConfigMap">): Bundle | string {
  let bundle = bundles.get(configMap);
  if (bundle === undefined) bundles.set(configMap, (bundle = parseBundle(configMap.data?.["ca.crt"])));
  return bundle;
}

function parseBundle(pem: string | undefined): Bundle | string {
  const certificates = pem?.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g);
  if (certificates == null) return "holds no PEM certificate under ca.crt";
  try {
    for (const certificate of certificates) new X509Certificate(certificate);
  } catch {
    return "holds a certificate under ca.crt that cannot be parsed";
  }
  const whole = certificates.join("\n");
  return { pem: whole, digest: shortHash(whole) };
}

/** Bundles that a policy names, whether they exist or not: what a source must watch, and nothing else. */
export function bundleRefs({
  metadata,
  spec,
}: Policy): readonly { readonly namespace: string; readonly name: string }[] {
  return (spec.validation.caCertificateRefs ?? [])
    .filter(({ group, kind }) => group === "" && kind === "ConfigMap")
    .map(({ name }) => ({ namespace: metadata.namespace, name }));
}

function authoritiesOf(snapshot: ClusterSnapshot, policy: Policy): Bundle | undefined | Failed {
  const { metadata, spec } = policy;
  const { caCertificateRefs = [], wellKnownCACertificates } = spec.validation;
  const at = `BackendTLSPolicy ${metadata.namespace}/${metadata.name}`;
  if (caCertificateRefs.length === 0) {
    if (wellKnownCACertificates === "System") return undefined;
    return failed(`${at} names neither caCertificateRefs nor wellKnownCACertificates: System`);
  }
  const found: Bundle[] = [];
  for (const { group, kind, name } of caCertificateRefs) {
    if (group !== "" || kind !== "ConfigMap")
      return failed(`${at} names a ${kind} for its authorities; use a ConfigMap`, "InvalidKind");
    const configMap = snapshot.get(keyOf("ConfigMap", metadata.namespace, name));
    const bundle = configMap === undefined ? "does not exist, or may not be read" : bundleOf(configMap);
    if (typeof bundle === "string") return failed(`ConfigMap ${metadata.namespace}/${name} of ${at} ${bundle}`);
    found.push(bundle);
  }
  return { pem: found.map(({ pem }) => pem).join("\n"), digest: found.map(({ digest }) => digest).join() };
}

const namesOf = ({ subjectAltNames = [] }: Validation): BackendTls["names"] =>
  subjectAltNames.flatMap(({ type, hostname, uri }) => {
    const value = type === "URI" ? uri : hostname;
    return value === undefined ? [] : [{ type: type === "URI" ? "URI" : "Hostname", value } as const];
  });

/**
 * A policy that cannot be followed makes its backends invalid: what somebody wanted verified never goes out unverified.
 *
 * @param secure  The port itself says that it speaks TLS. Without a policy it must then show a certificate for the
 *                Service's name in the cluster, from somebody whom the system trusts.
 * @source Gateway API v1 BackendTLSPolicy.
 */
export function backendTlsOf(
  snapshot: ClusterSnapshot,
  service: Service,
  portName: string | undefined,
  secure: boolean,
): BackendTlsChoice {
  const policy = policyFor(snapshot, service, portName);
  if (policy === undefined && !secure) return { kind: "cleartext" };
  const { name, namespace } = service.metadata;
  if (policy === undefined) {
    const tls: BackendTls = { source: "port", hostname: `${name}.${namespace}.svc`, names: [], authorities: undefined };
    return { kind: "tls", tls, id: "tls" };
  }
  const authorities = authoritiesOf(snapshot, policy);
  if (authorities !== undefined && "kind" in authorities) return authorities;
  const { validation } = policy.spec;
  if (!isPreciseHostname(validation.hostname))
    return failed(
      `BackendTLSPolicy ${namespace}/${policy.metadata.name} has the hostname ${JSON.stringify(validation.hostname)}; name one host by its DNS name, in lower case`,
    );
  const names = namesOf(validation);
  if (names.length < (validation.subjectAltNames?.length ?? 0))
    return failed(`BackendTLSPolicy ${namespace}/${policy.metadata.name} lists a subjectAltName without its value`);
  const tls: BackendTls = { source: "policy", hostname: validation.hostname, names, authorities: authorities?.pem };
  return { kind: "tls", tls, id: `tls=${shortHash(JSON.stringify([tls.hostname, names, authorities?.digest]))}` };
}
