import { SERVICE_ROUTE_GROUP } from "../api/kinds.ts";
import type { RefReason } from "../api/condition.ts";
import { keyOf } from "../api/keys.ts";
import type { KubeObject } from "../api/objects.ts";
import { endpointsKey } from "../routing/endpoints.ts";
import type { Algorithm, BackendProtocol, ClusterRef, InvalidRef } from "../routing/rule.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";
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
  readonly problems: Problems;
  readonly algorithm: Algorithm;
  /** What names the shared state besides the Service port, empty for plain defaults. */
  readonly policyHash: string;
  readonly defaultProtocol: "HTTP/1.1" | "h2c";
  /** The clusters of this route so far: rules that send to the same one share it. */
  readonly clusters: Map<string, ClusterRef>;
}

const SERVED_PROTOCOLS: readonly BackendProtocol[] = ["HTTP/1.1", "ws"];

function protocolOf(appProtocol: string | undefined, fallback: "HTTP/1.1" | "h2c"): BackendProtocol {
  switch (appProtocol) {
    case undefined:
      return fallback;
    case "kubernetes.io/h2c":
    case "grpc":
      return "h2c";
    case "kubernetes.io/ws":
      return "ws";
    case "kubernetes.io/wss":
      return "wss";
    case "https":
      return "https";
    default:
      return "HTTP/1.1";
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

function resolvePort(
  context: BackendContext,
  { metadata, spec }: KubeObject<"Service">,
  port: number | undefined,
  invalid: (reason: RefReason, message: string) => InvalidRef,
): ClusterRef | InvalidRef {
  const name = `${metadata.namespace}/${metadata.name}`;
  if (spec?.type === "ExternalName")
    return invalid("BackendNotFound", `Service ${name} is of type ExternalName, which is not allowed here`);
  const found = spec?.ports?.find((p) => p.port === port);
  if (found === undefined) return invalid("BackendNotFound", `Service ${name} has no port ${port ?? ""}`);
  const transport = found.protocol ?? "TCP";
  if (transport !== "TCP")
    return invalid("UnsupportedProtocol", `port ${found.port} of Service ${name} is ${transport}, not TCP`);
  const protocol = protocolOf(found.appProtocol, context.defaultProtocol);
  if (!SERVED_PROTOCOLS.includes(protocol))
    return invalid("UnsupportedProtocol", `backends that speak ${protocol} are not served yet`);
  const endpoints = endpointsKey(metadata.namespace, metadata.name, found.port);
  const state = context.policyHash === "" ? endpoints : `${endpoints}#${context.policyHash}`;
  return shared(context.clusters, { kind: "cluster", endpoints, state, protocol, algorithm: context.algorithm });
}

function shared(clusters: Map<string, ClusterRef>, cluster: ClusterRef): ClusterRef {
  const id = `${cluster.protocol} ${cluster.state}`;
  const known = clusters.get(id);
  if (known === undefined) clusters.set(id, cluster);
  return known ?? cluster;
}
