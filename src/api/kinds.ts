/** What the API server calls a kind that we read. */
export interface KindInfo {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** May be missing from a cluster, and come and go while we run. */
  readonly optional: boolean;
}

export const SERVICE_ROUTE_GROUP = "serviceroute.dev";
export const GATEWAY_GROUP = "gateway.networking.k8s.io";
export const CONTROLLER_NAME = "serviceroute.dev/gateway-controller";
export const DEFAULT_SCOPE_ANNOTATION = "serviceroute.dev/default-scope";

const core = (plural: string, namespaced: boolean): KindInfo => ({
  group: "",
  version: "v1",
  plural,
  namespaced,
  optional: false,
});
const gatewayApi = (plural: string, version: string, namespaced: boolean): KindInfo => ({
  group: GATEWAY_GROUP,
  version,
  plural,
  namespaced,
  optional: true,
});

export const KINDS = {
  ServiceRoute: {
    group: SERVICE_ROUTE_GROUP,
    version: "v1alpha1",
    plural: "serviceroutes",
    namespaced: true,
    optional: true,
  },
  Gateway: gatewayApi("gateways", "v1", true),
  GatewayClass: gatewayApi("gatewayclasses", "v1", false),
  ReferenceGrant: gatewayApi("referencegrants", "v1beta1", true),
  Service: core("services", true),
  EndpointSlice: {
    group: "discovery.k8s.io",
    version: "v1",
    plural: "endpointslices",
    namespaced: true,
    optional: false,
  },
  Endpoints: core("endpoints", true),
  Namespace: core("namespaces", false),
  Secret: core("secrets", true),
  ConfigMap: core("configmaps", true),
  BackendTLSPolicy: gatewayApi("backendtlspolicies", "v1", true),
} as const satisfies Record<string, KindInfo>;

export type Kind = keyof typeof KINDS;

export const ALL_KINDS = Object.keys(KINDS) as readonly Kind[];

export function isKind(name: string): name is Kind {
  return Object.hasOwn(KINDS, name);
}

export function apiVersionOf(kind: Kind): string {
  const { group, version } = KINDS[kind];
  return group === "" ? version : `${group}/${version}`;
}
