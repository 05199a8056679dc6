import { type Key, keyOf } from "../api/keys.ts";
import type { ApiClient } from "../kube/api-client.ts";
import type { GatewayPort, Ports, WantedService } from "../provision/gateway-services.ts";
import { Provisioner } from "../provision/provisioner.ts";
import type { Endpoint } from "../routing/endpoints.ts";
import { transportOf } from "../routing/listener.ts";
import { containerPorts } from "../routing/service-ports.ts";
import type { Store } from "../snapshot/store.ts";
import type { Logger } from "../telemetry/logger.ts";
import { serviceNameOf } from "../translate/gateway-service.ts";
import type { GatewayView } from "../translate/gateways.ts";
import type { Translator } from "../translate/translator.ts";

interface Parts {
  readonly client: ApiClient;
  readonly log: Logger;
  readonly store: Store;
  readonly translator: Translator;
  readonly isLeader: () => boolean;
  readonly systemNamespace: string;
  /** The Service in front of our own pods, whose endpoints those of Gateways are. */
  readonly podService: string;
}

function distinctPorts(listeners: GatewayView["listeners"]): GatewayPort[] {
  const ports = listeners.map(({ port, protocol }): GatewayPort => ({ port, transport: transportOf(protocol) }));
  return [...new Map(ports.map((one) => [`${one.port}/${one.transport}`, one])).values()];
}

function wantedBy(store: Store, view: GatewayView): WantedService[] {
  const gateway = store.peek(view.key);
  // Without an address a Gateway is not served: its Service would be somebody else's, for one.
  if (!view.address.ok || gateway === undefined || gateway.metadata.deletionTimestamp !== undefined) return [];
  const { labels = {}, annotations = {} } = gateway.spec.infrastructure ?? {};
  // A port that another Gateway has is one that its Service has yet to give it.
  const served = view.listeners.filter(({ refusal }) => refusal === undefined || refusal.reason === "PortUnavailable");
  const { namespace, name, uid } = gateway.metadata;
  const ports = distinctPorts(served);
  return [{ namespace, gateway: name, uid, service: serviceNameOf(view.key), ports, labels, annotations }];
}

/** Container ports that Services of Gateways lead to, whether we serve those now or not: nobody else gets them. */
function livePorts(store: Store): ReadonlyMap<string, Ports> {
  const found = [...store.keys("Gateway")].flatMap((key): [string, Ports][] => {
    const gateway = store.peek(key as Key<"Gateway">);
    if (gateway === undefined) return [];
    const { namespace, uid } = gateway.metadata;
    const name = serviceNameOf(gateway.key);
    const service = store.peek(keyOf("Service", namespace, name));
    if (service?.metadata.gatewayUid !== uid) return [];
    const ports = service.spec?.ports;
    const both = [...containerPorts(uid, ports, "UDP"), ...containerPorts(uid, ports)];
    return [[`${namespace}/${name}`, new Map(both)]];
  });
  return new Map(found);
}

/** The address of every pod of ours that is ready. */
function readyPods(store: Store, namespace: string, service: string): Endpoint[] {
  const slices = store.peekSlicesOf(namespace, service).filter(({ addressType }) => (addressType ?? "IPv4") === "IPv4");
  const endpoints = slices.flatMap((slice) => slice.endpoints ?? []);
  const ready = endpoints.filter(({ conditions }) => conditions?.ready !== false && conditions?.terminating !== true);
  const addresses = new Set(ready.flatMap(({ addresses: list }) => list?.[0] ?? []));
  return [...addresses].sort().map((address) => ({ address, port: 0 }));
}

/** Puts the provisioner of Services for Gateways together. */
export function createProvisioner({
  client,
  log,
  store,
  translator,
  isLeader,
  systemNamespace,
  podService,
}: Parts): Provisioner {
  let views: readonly GatewayView[] = [];
  const provisioner: Provisioner = new Provisioner({
    client,
    log,
    random: Math.random,
    monotonic: () => performance.now(),
    isLeader,
    wanted: () => views.flatMap((view) => wantedBy(store, view)),
    livePorts: () => livePorts(store),
    liveService: (namespace, name) => store.peek(keyOf("Service", namespace, name)),
    liveSlice: (namespace, name) => store.peek(keyOf("EndpointSlice", namespace, name)),
    pods: () => readyPods(store, systemNamespace, podService),
  });
  translator.onGateways((next) => {
    views = next;
    provisioner.changed();
  });
  return provisioner;
}
