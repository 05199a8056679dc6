import type { KubeObject } from "../api/objects.ts";
import type { Endpoint } from "../routing/endpoints.ts";

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

const FIRST_PORT = 20_000;
const LAST_PORT = 29_999;
const GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name";
const SERVICE_LABEL = "kubernetes.io/service-name";
const MANAGED_BY = "endpointslice.kubernetes.io/managed-by";
const CONTROLLER = "serviceroute-controller";

type Live = ReadonlyMap<string, KubeObject<"Service">>;

const idOf = ({ namespace, service }: WantedService): string => `${namespace}/${service}`;

function targetsOf(service: KubeObject<"Service"> | undefined): ReadonlyMap<number, number> {
  const pairs = (service?.spec?.ports ?? []).flatMap(({ port, targetPort }): [number, number][] =>
    typeof targetPort === "number" ? [[port, targetPort]] : [],
  );
  return new Map(pairs);
}

/**
 * A container port for each port of each Gateway: what its Service says already, else the first that none uses. So two
 * Gateways on port 80 never share a socket, no port below 1024 is bound, and all replicas bind the same.
 *
 * @returns Port of the Gateway → container port, by `namespace/service`; ports left out when there are no more.
 */
export function assignPorts(
  wanted: readonly WantedService[],
  live: Live,
): ReadonlyMap<string, ReadonlyMap<number, number>> {
  const taken = new Set([...live.values()].flatMap((service) => [...targetsOf(service).values()]));
  const claimed = new Set<number>();
  let next = FIRST_PORT;
  const free = (): number | undefined => {
    while (taken.has(next) && next <= LAST_PORT) next++;
    if (next > LAST_PORT) return undefined;
    taken.add(next);
    return next;
  };
  return new Map(
    wanted.map((one) => {
      const kept = targetsOf(live.get(idOf(one)));
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

function metadata(one: WantedService, name: string, labels: Readonly<Record<string, string>>): object {
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
export function serviceObject(one: WantedService, ports: ReadonlyMap<number, number>): object {
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
export function sliceObject(one: WantedService, ports: ReadonlyMap<number, number>, pods: readonly Endpoint[]): object {
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
