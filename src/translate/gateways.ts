import { DEFAULT_SCOPE_ANNOTATION, CONTROLLER_NAME, GATEWAY_GROUP, SERVICE_ROUTE_GROUP } from "../api/kinds.ts";
import { type Key, keyOf } from "../api/keys.ts";
import type { KubeObject, LabelSelector, ListenerSpec } from "../api/objects.ts";
import { ANY_HOST } from "../routing/hostname.ts";
import { BUILTIN_GATEWAY, type ListenerId, listenerId, socketOf, transportOf } from "../routing/listener.ts";
import { compareText } from "../routing/precedence.ts";
import { rankOf } from "../routing/service-ports.ts";
import type { GatewayAddress } from "../routing/status-report.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";
import { type AddressResult, assignAddresses } from "./gateway-addresses.ts";
import { serviceSays } from "./gateway-service.ts";
import { type GatewayTls, type Refusal, protocolRefusal } from "./listener-refusal.ts";
import type { TranslateOptions } from "./options.ts";

/** A listener as routes and statuses need it; certificates are looked up apart, because they change apart. */
export interface ListenerView {
  readonly id: ListenerId;
  readonly name: string;
  readonly port: number;
  /** The port to bind; undefined while the Gateway's Service, which decides it, is not there. */
  readonly bindPort: number | undefined;
  readonly protocol: string;
  readonly hostname: string;
  readonly spec: ListenerSpec;
  readonly allowsServiceRoute: boolean;
  /** Entries of allowedRoutes.kinds that no listener of ours supports. */
  readonly invalidKinds: readonly string[];
  readonly from: string;
  readonly selector: LabelSelector | undefined;
  readonly refusal: Refusal | undefined;
}

export interface GatewayView {
  readonly key: Key<"Gateway">;
  readonly namespace: string;
  readonly generation: number;
  readonly isDefault: boolean;
  readonly address: AddressResult;
  /** What clients dial, where that is not the bound address: of the Gateway's Service. */
  readonly published: readonly GatewayAddress[] | undefined;
  readonly listeners: readonly ListenerView[];
  /** Refused as a whole: parameters that nobody reads. */
  readonly invalidParameters: string | undefined;
}

/** Oldest first, then by name: who came first keeps what it has. */
export function byAge(a: KubeObject, b: KubeObject): number {
  return compareText(a.metadata.creationTimestamp, b.metadata.creationTimestamp) || compareText(a.key, b.key);
}

/** Of folders, where no GatewayClass object says whose a class is. */
const DEFAULT_CLASS = "serviceroute";

export function isOurs(snapshot: ClusterSnapshot, gateway: KubeObject<"Gateway">, options: TranslateOptions): boolean {
  const name = gateway.spec.gatewayClassName;
  if (name !== (options.gatewayClass ?? name)) return false;
  const found = snapshot.get(keyOf("GatewayClass", "", name));
  if (found !== undefined) return found.spec.controllerName === CONTROLLER_NAME;
  return options.classByName && name === (options.gatewayClass ?? DEFAULT_CLASS);
}

const isServiceRoute = ({ group = GATEWAY_GROUP, kind }: { group?: string | undefined; kind: string }): boolean =>
  group === SERVICE_ROUTE_GROUP && kind === "ServiceRoute";

function viewOf(gateway: Key<"Gateway">, spec: ListenerSpec, tls?: GatewayTls): ListenerView {
  const kinds = spec.allowedRoutes?.kinds ?? [];
  return {
    id: listenerId(gateway, spec.name),
    name: spec.name,
    port: spec.port,
    bindPort: spec.port,
    protocol: spec.protocol,
    hostname: spec.hostname === undefined || spec.hostname === "" ? ANY_HOST : spec.hostname.toLowerCase(),
    spec,
    allowsServiceRoute: kinds.length === 0 || kinds.some(isServiceRoute),
    invalidKinds: kinds
      .filter((kind) => !isServiceRoute(kind))
      .map(({ group = GATEWAY_GROUP, kind }) => `${group}/${kind}`),
    from: spec.allowedRoutes?.namespaces?.from ?? "Same",
    selector: spec.allowedRoutes?.namespaces?.selector,
    refusal: protocolRefusal(spec, tls),
  };
}

const isSamePort = (a: ListenerView, b: ListenerView): boolean =>
  a.port === b.port && transportOf(a.protocol) === transportOf(b.protocol);

/** Listeners of one Gateway that cannot be told apart are all refused: the specification forbids to pick a winner (B47). */
function withConflicts(listeners: readonly ListenerView[]): ListenerView[] {
  return listeners.map((one) => {
    if (one.refusal !== undefined) return one;
    const others = listeners.filter((other) => other !== one && isSamePort(other, one) && other.refusal === undefined);
    const refuse = (reason: "ProtocolConflict" | "HostnameConflict", message: string): ListenerView => ({
      ...one,
      refusal: { type: "Conflicted", reason, message },
    });
    const protocol = others.find((other) => other.protocol !== one.protocol);
    if (protocol !== undefined)
      return refuse(
        "ProtocolConflict",
        `listener "${protocol.name}" uses port ${one.port} with protocol ${protocol.protocol}`,
      );
    const same = others.find((other) => other.hostname === one.hostname);
    return same === undefined
      ? one
      : refuse("HostnameConflict", `listener "${same.name}" has the same port and hostname`);
  });
}

/** A Gateway that is reached through its Service, as that Service has it. */
function behindService(snapshot: ClusterSnapshot, view: GatewayView): GatewayView {
  const said = serviceSays(snapshot, view.key);
  if (!said.ok) return { ...view, address: { ok: false, reason: "AddressNotUsable", message: said.message } };
  const listeners = view.listeners.map((one) => ({
    ...one,
    bindPort: said.bindPorts[transportOf(one.protocol)].get(one.port),
  }));
  return { ...view, published: said.addresses, listeners };
}

const socketsOf = ({ address, listeners }: GatewayView): [socket: string, port: number][] =>
  address.ok
    ? listeners.flatMap(({ refusal, bindPort, protocol }): [string, number][] =>
        refusal === undefined && bindPort !== undefined
          ? [[socketOf({ address: address.address, bindPort, protocol }), bindPort]]
          : [],
      )
    : [];

/**
 * Whose each socket is, where several Services lead to it: who had it, else for whom it comes first. Nobody takes it by
 * an edit of their own Service, of a replica that has just started either.
 */
function keptSockets(
  views: readonly GatewayView[],
  last: GatewayPlan | undefined,
  uidOf: (gateway: Key<"Gateway">) => string,
): Map<string, Key<"Gateway">> {
  const best = new Map<string, { readonly key: Key<"Gateway">; readonly rank: number }>();
  for (const view of views) {
    const before = last?.get(view.key);
    const had = new Set(before === undefined ? [] : socketsOf(before).map(([socket]) => socket));
    for (const [socket, port] of socketsOf(view)) {
      const rank = had.has(socket) ? -1 : rankOf(uidOf(view.key), port);
      if (rank < (best.get(socket)?.rank ?? Infinity)) best.set(socket, { key: view.key, rank });
    }
  }
  return new Map([...best].map(([socket, { key }]) => [socket, key]));
}

/** On a shared address the first Gateway keeps a port; another never shares its socket, and so never its traffic. */
function withoutTakenPorts(view: GatewayView, taken: Map<string, Key<"Gateway">>): GatewayView {
  const { address } = view;
  if (!address.ok) return view;
  const listeners = view.listeners.map((one): ListenerView => {
    if (one.refusal !== undefined || one.bindPort === undefined) return one;
    const socket = socketOf({ address: address.address, bindPort: one.bindPort, protocol: one.protocol });
    const owner = taken.get(socket) ?? view.key;
    taken.set(socket, owner);
    if (owner === view.key) return one;
    return {
      ...one,
      refusal: {
        type: "Conflicted",
        reason: "PortUnavailable",
        message: `another Gateway listens on port ${one.port} of ${address.address}`,
      },
    };
  });
  return { ...view, listeners };
}

function gatewayView(gateway: KubeObject<"Gateway">, address: AddressResult): GatewayView {
  const parameters = gateway.spec.infrastructure?.parametersRef;
  return {
    key: gateway.key,
    namespace: gateway.metadata.namespace,
    generation: gateway.metadata.generation,
    isDefault: (gateway.spec.defaultScope ?? gateway.metadata.annotations[DEFAULT_SCOPE_ANNOTATION]) === "All",
    address,
    published: undefined,
    listeners: withConflicts(gateway.spec.listeners.map((spec) => viewOf(gateway.key, spec, gateway.spec.tls))),
    invalidParameters:
      parameters === undefined
        ? undefined
        : `${parameters.group}/${parameters.kind} ${parameters.name} cannot be used as parameters`,
  };
}

function builtinView({ builtin, bindAddress }: TranslateOptions): GatewayView | undefined {
  if (builtin === undefined) return undefined;
  const all = { allowedRoutes: { namespaces: { from: "All" } } };
  const http: ListenerSpec = { name: "http", port: builtin.httpPort, protocol: "HTTP", ...all };
  const https: ListenerSpec = { name: "https", port: builtin.httpsPort, protocol: "HTTPS", ...all };
  return {
    key: BUILTIN_GATEWAY,
    namespace: "",
    generation: 0,
    isDefault: true,
    address: { ok: true, address: bindAddress, own: false },
    published: undefined,
    listeners: [http, ...(builtin.certificate === undefined ? [] : [https])].map((spec) =>
      viewOf(BUILTIN_GATEWAY, spec),
    ),
    invalidParameters: undefined,
  };
}

/** Addresses that Gateways had: what the last plan gave, else what their status says. */
function lastAddresses(
  gateways: readonly KubeObject<"Gateway">[],
  last: GatewayPlan | undefined,
): Map<Key<"Gateway">, string> {
  return new Map(
    gateways.flatMap((gateway): [Key<"Gateway">, string][] => {
      // What status says comes first: all replicas see that, and each has planned for itself.
      const [published] = gateway.status?.addresses ?? [];
      if (published !== undefined) return [[gateway.key, published.value]];
      const planned = last?.get(gateway.key)?.address;
      return planned?.ok === true ? [[gateway.key, planned.address]] : [];
    }),
  );
}

export type GatewayPlan = ReadonlyMap<Key<"Gateway">, GatewayView>;

/** Every Gateway of ours with its listeners: addresses, and who keeps which port. */
export function planGateways(
  snapshot: ClusterSnapshot,
  options: TranslateOptions,
  last: GatewayPlan | undefined,
): GatewayPlan {
  const ours = snapshot
    .gateways()
    .filter((gateway) => isOurs(snapshot, gateway, options))
    .sort(byAge);
  const addresses = assignAddresses(ours, lastAddresses(ours, last), options);
  const builtin = builtinView(options);
  const views = ours.flatMap((gateway) => {
    const address = addresses.get(gateway.key);
    if (address === undefined) return [];
    const view = gatewayView(gateway, address);
    return [options.gatewayServices === true ? behindService(snapshot, view) : view];
  });
  const all = builtin === undefined ? views : [builtin, ...views];
  const uids = new Map(ours.map(({ key, metadata }) => [key, metadata.uid]));
  const taken =
    options.gatewayServices === true
      ? keptSockets(views, last, (key) => uids.get(key) ?? "")
      : new Map<string, Key<"Gateway">>();
  return new Map(all.map((view) => [view.key, withoutTakenPorts(view, taken)]));
}
