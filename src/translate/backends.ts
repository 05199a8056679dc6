import { SERVICE_ROUTE_GROUP } from "../api/kinds.ts";
import type { RefReason } from "../api/condition.ts";
import { keyOf } from "../api/keys.ts";
import type { KubeObject } from "../api/objects.ts";
import type { ClusterPolicy } from "../routing/cluster-policy.ts";
import { type Transport, endpointsKey } from "../routing/endpoints.ts";
import type { Algorithm, BackendHttp, ClusterRef, InvalidRef } from "../routing/rule.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";
import { backendTlsOf } from "./backend-tls.ts";
import { grantMessage, isPermitted } from "./grants.ts";
import type { Problems } from "./problems.ts";

export interface BackendObject {
  readonly group?: string | undefined;
  readonly kind?: string | undefined;
  readonly name: string;
  readonly namespace?: string | undefined;
  readonly port?: number | undefined;
}

export interface BackendContext {
  readonly snapshot: ClusterSnapshot;
  /** The route's namespace: what a reference is judged by, whoever it points to (B16). */
  readonly namespace: string;
  /** Of the ports that backends are to be. */
  readonly transport: Transport;
  readonly problems: Problems;
  readonly algorithm: Algorithm;
  readonly policy: ClusterPolicy;
  /** What names the shared state besides the Service port, empty for plain defaults. */
  readonly policyHash: string;
  /** What backends speak that do not say it themselves. */
  readonly defaultHttp: BackendHttp;
  /** The clusters of this route so far: rules that send to the same one share it. */
  readonly clusters: Map<string, ClusterRef>;
}

/** @source Kubernetes' standard application protocols (KEP-3726); `grpc` and `https` as peers read them. */
function spokenBy(appProtocol: string | undefined, otherwise: BackendHttp): { http: BackendHttp; secure: boolean } {
  switch (appProtocol) {
    case undefined:
      return { http: otherwise, secure: false };
    case "kubernetes.io/h2c":
    case "grpc":
      return { http: "2", secure: false };
    case "kubernetes.io/wss":
      return { http: "1.1", secure: true };
    case "https":
      return { http: otherwise, secure: true };
    default:
      return { http: "1.1", secure: false };
  }
}

/** Guard clauses first; permission before existence, so that nobody learns what another namespace holds (S27). */
export function resolveBackend(context: BackendContext, ref: BackendObject, field: string): ClusterRef | InvalidRef {
  const invalid = (reason: RefReason, message: string): InvalidRef => ({
    kind: "invalid",
    error: context.problems.ref(field, reason, message),
  });
  const { group = "", kind = "Service" } = ref;
  if (group !== "" || kind !== "Service")
    return invalid(
      "InvalidKind",
      `${group === "" ? kind : `${group}/${kind}`} is not a supported backend; use a Service`,
    );
  const namespace = ref.namespace ?? context.namespace;
  const from = { group: SERVICE_ROUTE_GROUP, kind: "ServiceRoute", namespace: context.namespace };
  const to = { group, kind, namespace, name: ref.name };
  if (!isPermitted(context.snapshot, from, to)) return invalid("RefNotPermitted", grantMessage(from, to));
  const service = context.snapshot.get(keyOf("Service", namespace, ref.name));
  if (service === undefined) return invalid("BackendNotFound", `Service ${namespace}/${ref.name} does not exist`);
  return resolvePort(context, service, ref.port, invalid);
}

type ServicePort = NonNullable<NonNullable<KubeObject<"Service">["spec"]>["ports"]>[number];

/** The port of this number and transport; one of the same number where there is no such. */
function portOf({ spec }: KubeObject<"Service">, number: number | undefined, transport: Transport) {
  const ports = spec?.ports?.filter(({ port }) => port === number) ?? [];
  const fits = ({ protocol = "TCP" }: ServicePort): boolean => protocol === transport;
  return { found: ports.find(fits), other: ports[0] };
}

function resolvePort(
  context: BackendContext,
  service: KubeObject<"Service">,
  port: number | undefined,
  invalid: (reason: RefReason, message: string) => InvalidRef,
): ClusterRef | InvalidRef {
  const { metadata, spec } = service;
  const name = `${metadata.namespace}/${metadata.name}`;
  if (spec?.type === "ExternalName")
    return invalid("BackendNotFound", `Service ${name} is of type ExternalName, which is not allowed here`);
  const { transport } = context;
  const { found, other } = portOf(service, port, transport);
  if (other === undefined) return invalid("BackendNotFound", `Service ${name} has no port ${port ?? ""}`);
  if (found === undefined) {
    const { protocol = "TCP" } = other;
    return invalid("UnsupportedProtocol", `port ${other.port} of Service ${name} is ${protocol}, not ${transport}`);
  }
  const { http, secure } = spokenBy(transport === "TCP" ? found.appProtocol : undefined, context.defaultHttp);
  const choice = backendTlsOf(context.snapshot, service, found.name, secure);
  if (choice.kind === "invalid") return invalid(choice.reason, choice.message);
  if (choice.kind === "tls" && transport === "UDP")
    return invalid(
      "UnsupportedProtocol",
      `a BackendTLSPolicy wants TLS on port ${found.port} of Service ${name}, which is UDP; give the policy a sectionName`,
    );
  if (context.policy.active?.type === "GRPC" && http !== "2")
    return invalid(
      "UnsupportedProtocol",
      `port ${found.port} of Service ${name} needs appProtocol kubernetes.io/h2c for health checks of type GRPC`,
    );
  const endpoints = endpointsKey(metadata.namespace, metadata.name, found.port, transport);
  const own = [http === "2" ? "h2" : "", choice.kind === "tls" ? choice.id : "", context.policyHash];
  const suffix = own.filter((part) => part !== "").join(";");
  const state = suffix === "" ? endpoints : `${endpoints}#${suffix}`;
  const { algorithm, policy, clusters } = context;
  const known = clusters.get(state);
  if (known !== undefined) return known;
  const tls = choice.kind === "tls" ? { tls: choice.tls } : {};
  const cluster: ClusterRef = { kind: "cluster", endpoints, state, http, algorithm, policy, ...tls };
  clusters.set(state, cluster);
  return cluster;
}
