import type { KubeObject } from "../api/objects.ts";
import type { Endpoint } from "../routing/endpoints.ts";
import { SERVICE_PORTS, containerPorts } from "../routing/listener.ts";

/** A Gateway that wants a Service, as its provisioner sees it. */
export interface WantedService {
  readonly namespace: string;
  readonly gateway: string;
  readonly uid: string;
  readonly service: string;
  /** Ports of listeners that could be served, each once. */
  readonly ports: readonly number[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

const GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name";
const SERVICE_LABEL = "kubernetes.io/service-name";
const MANAGED_BY = "endpointslice.kubernetes.io/managed-by";
const CONTROLLER = "serviceroute-controller";

type Live = ReadonlyMap<string, KubeObject<"Service">>;
/** Port of a Gateway → container port. */
export type Ports = ReadonlyMap<number, number>;

/** `namespace/service`. */
export const idOf = ({ namespace, service }: WantedService): string => `${namespace}/${service}`;

/**
 * A container port for each port of each Gateway: what it was given before, else what its Service says, else the first
 * that none uses. So two Gateways on port 80 never share a socket, no port below 1024 is bound, all replicas bind the
 * same, and who may edit a Service takes no other Gateway's port by it.
 *
 * @param last  What the call before gave.
 * @returns     By `namespace/service`; ports left out when there are no more.
 */
export function assignPorts(
  wanted: readonly WantedService[],
  live: Live,
  last: ReadonlyMap<string, Ports>,
): ReadonlyMap<string, Ports> {
  const given = wanted.flatMap((one) => [...(last.get(idOf(one))?.values() ?? [])]);
  const taken = new Set([
    ...given,
    ...[...live.values()].flatMap(({ spec }) => [...containerPorts(spec?.ports).values()]),
  ]);
  const claimed = new Set<number>();
  const reserved = new Set(given);
  let next: number = SERVICE_PORTS.first;
  const free = (): number | undefined => {
    while (taken.has(next) && next <= SERVICE_PORTS.last) next++;
    if (next > SERVICE_PORTS.last) return undefined;
    taken.add(next);
    return next;
  };
  return new Map(
    wanted.map((one) => {
      const before = last.get(idOf(one));
      const said = [...containerPorts(live.get(idOf(one))?.spec?.ports)].filter(([, target]) => !reserved.has(target));
      const kept = new Map([...said, ...(before ?? [])]);
      const ports = one.ports.flatMap((port): [number, number][] => {
        const own = kept.get(port);
        // Of two that say the same, which only a lost race can make, the first keeps it.
        const target = own === undefined || claimed.has(own) ? free() : own;
        if (target === undefined) return [];
        claimed.add(target);
        return [[port, target]];
      });
      return [idOf(one), new Map(ports)];
    }),
  );
}

function metadata(one: WantedService, name: string, labels: Readonly<Record<string, string>>) {
  return {
    name,
    namespace: one.namespace,
    labels: { ...one.labels, [GATEWAY_LABEL]: one.gateway, ...labels },
    annotations: one.annotations,
    ownerReferences: [
      {
        apiVersion: "gateway.networking.k8s.io/v1",
        kind: "Gateway",
        name: one.gateway,
        uid: one.uid,
        controller: true,
        blockOwnerDeletion: false,
      },
    ],
  };
}

/** The Service of a Gateway, whole, for server-side apply. Without a selector: its pods are in another namespace. */
export function serviceObject(one: WantedService, ports: Ports) {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: metadata(one, one.service, {}),
    spec: {
      type: "LoadBalancer",
      ports: [...ports].map(([port, targetPort]) => ({ name: `port-${port}`, port, targetPort, protocol: "TCP" })),
    },
  };
}

/** The endpoints of that Service: our pods, on the container ports. */
export function sliceObject(one: WantedService, ports: Ports, pods: readonly Endpoint[]) {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: metadata(one, one.service, { [SERVICE_LABEL]: one.service, [MANAGED_BY]: CONTROLLER }),
    addressType: "IPv4",
    ports: [...ports].map(([port, targetPort]) => ({ name: `port-${port}`, port: targetPort, protocol: "TCP" })),
    endpoints: pods.map(({ address }) => ({
      addresses: [address],
      conditions: { ready: true, serving: true, terminating: false },
    })),
  };
}

/** Whether the Service still says what was applied, but for its annotations, which we do not keep: others may edit it. */
export function isService(live: KubeObject<"Service">, applied: ReturnType<typeof serviceObject>): boolean {
  const { type, ports = [] } = live.spec ?? {};
  return (
    says(live.metadata.labels, applied.metadata.labels) &&
    type === applied.spec.type &&
    applied.spec.ports.every((port) => ports.some((one) => says(one, port)))
  );
}

/** The same for its endpoints, of which there may be no others. */
export function isSlice(live: KubeObject<"EndpointSlice">, applied: ReturnType<typeof sliceObject>): boolean {
  return (
    says(live.metadata.labels, applied.metadata.labels) &&
    says(live.ports, applied.ports) &&
    says(live.endpoints, applied.endpoints)
  );
}

/** Whether everything that was applied is there. Lists are as long as they were. */
function says(live: unknown, applied: unknown): boolean {
  if (typeof applied !== "object" || applied === null) return live === applied;
  if (typeof live !== "object" || live === null) return false;
  if (Array.isArray(applied) && (live as { length?: unknown }).length !== applied.length) return false;
  return Object.entries(applied).every(([name, value]) => says((live as Record<string, unknown>)[name], value));
}
