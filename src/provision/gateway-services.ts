import type { KubeObject } from "../api/objects.ts";
import type { Endpoint, Transport } from "../routing/endpoints.ts";
import { ownPorts, rankOf } from "../routing/service-ports.ts";

export interface GatewayPort {
  readonly port: number;
  readonly transport: Transport;
}

/** A Gateway that wants a Service, as its provisioner sees it. */
export interface WantedService {
  readonly namespace: string;
  readonly gateway: string;
  readonly uid: string;
  readonly service: string;
  /** Ports of listeners that could be served, each once. */
  readonly ports: readonly GatewayPort[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

const GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name";
const SERVICE_LABEL = "kubernetes.io/service-name";
const MANAGED_BY = "endpointslice.kubernetes.io/managed-by";
const CONTROLLER = "serviceroute-controller";

/** Port of a Gateway → container port. */
export type Ports = ReadonlyMap<number, number>;

/** `namespace/service`. */
export const idOf = ({ namespace, service }: WantedService): string => `${namespace}/${service}`;

/**
 * A container port for each port of each Gateway: what it was given before, else what its Service says, else the first
 * of its own that nobody has. So two Gateways on port 80 never share a socket, no port below 1024 is bound, all replicas
 * bind the same, and who may edit a Service takes no other Gateway's port by it.
 *
 * @param last  What the call before gave.
 * @param live  What the Services of all Gateways say, of those too that are not wanted now, by `namespace/service`.
 * @returns     By `namespace/service`; ports left out when there are no more.
 */
export function assignPorts(
  wanted: readonly WantedService[],
  live: ReadonlyMap<string, Ports>,
  last: ReadonlyMap<string, Ports>,
): ReadonlyMap<string, Ports> {
  const lastOf = (one: WantedService): [number, number][] => {
    // A Gateway made anew under its name has a uid, and so ports, of its own.
    const own = new Set(ownPorts(one.uid));
    return [...(last.get(idOf(one)) ?? [])].filter(([, target]) => own.has(target));
  };
  const given = new Set(wanted.flatMap((one) => lastOf(one).map(([, target]) => target)));
  const taken = new Set([...given, ...[...live.values()].flatMap((ports) => [...ports.values()])]);
  const claimed = new Set<number>();
  const owner = bestClaims(wanted, live);
  return new Map(
    wanted.map((one) => {
      const said = [...(live.get(idOf(one)) ?? [])].filter(([, to]) => !given.has(to) && owner.get(to) === one);
      const kept = new Map([...said, ...lastOf(one)]);
      const free = ownPorts(one.uid).filter((port) => !taken.has(port));
      const ports = [...new Set(one.ports.map(({ port }) => port))].flatMap((port): [number, number][] => {
        const own = kept.get(port);
        const target = own === undefined || claimed.has(own) ? free.shift() : own;
        if (target === undefined) return [];
        taken.add(target);
        claimed.add(target);
        return [[port, target]];
      });
      return [idOf(one), new Map(ports)];
    }),
  );
}

/** Of several whose Services lead to a port, which only an edit or a lost race can make, the one for whom it comes first. */
function bestClaims(
  wanted: readonly WantedService[],
  live: ReadonlyMap<string, Ports>,
): ReadonlyMap<number, WantedService> {
  const best = new Map<number, WantedService>();
  for (const one of wanted)
    for (const port of live.get(idOf(one))?.values() ?? []) {
      const other = best.get(port);
      if (other === undefined || rankOf(one.uid, port) < rankOf(other.uid, port)) best.set(port, one);
    }
  return best;
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

/** What the Service and its endpoints call the ports that could be given; those of TCP as they were always called. */
function namedPorts({ ports: wanted }: WantedService, ports: Ports) {
  return wanted.flatMap(({ port, transport }) => {
    const target = ports.get(port);
    const name = transport === "TCP" ? `port-${port}` : `port-${port}-${transport.toLowerCase()}`;
    return target === undefined ? [] : [{ name, port, target, protocol: transport }];
  });
}

/** The Service of a Gateway, whole, for server-side apply. Without a selector: its pods are in another namespace. */
export function serviceObject(one: WantedService, ports: Ports) {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: metadata(one, one.service, {}),
    spec: {
      type: "LoadBalancer",
      ports: namedPorts(one, ports).map(({ target, ...port }) => ({ ...port, targetPort: target })),
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
    ports: namedPorts(one, ports).map(({ target, ...port }) => ({ ...port, port: target })),
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
    says(live.ports ?? [], applied.ports) &&
    says(live.endpoints ?? [], applied.endpoints)
  );
}

/** Whether everything that was applied is there. Lists are as long as they were. */
function says(live: unknown, applied: unknown): boolean {
  if (typeof applied !== "object" || applied === null) return live === applied;
  if (typeof live !== "object" || live === null) return false;
  if (Array.isArray(applied) && (live as { length?: unknown }).length !== applied.length) return false;
  return Object.entries(applied).every(([name, value]) => says((live as Record<string, unknown>)[name], value));
}
