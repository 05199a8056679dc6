import { GATEWAY_GROUP, SERVICE_ROUTE_GROUP } from "../api/kinds.ts";
import { type Key, keyOf, partsOf } from "../api/keys.ts";
import type { AcceptedReason } from "../api/condition.ts";
import type { ParentRef } from "../api/service-route.ts";
import { intersection } from "../routing/hostname.ts";
import type { Transport } from "../routing/endpoints.ts";
import { BUILTIN_GATEWAY, transportOf } from "../routing/listener.ts";
import type { Placement } from "../routing/routing-table.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";
import type { GatewayForRoutes, GatewayLookup } from "./gateway-for-routes.ts";
import { compact } from "./compact.ts";
import { carriesConnections, hasHostname } from "./tcp.ts";
import { selectorMatches } from "./labels.ts";

type ListenerForRoutes = GatewayForRoutes["listeners"][number];

/** What one parent says of a route. */
export interface ParentOutcome {
  readonly parentRef: ParentRef;
  readonly accepted: boolean;
  readonly reason: AcceptedReason;
  readonly message: string;
  readonly placements: readonly Placement[];
  /** What its listeners carry. */
  readonly transport: Transport;
}

export interface AttachContext {
  readonly snapshot: ClusterSnapshot;
  readonly gateways: GatewayLookup;
  readonly namespace: string;
  readonly hostnames: readonly string[];
  /** Why the route cannot stand on listeners that carry connections. */
  readonly connectionProblem: string | undefined;
}

function allowsNamespace(
  { snapshot, namespace }: AttachContext,
  gateway: GatewayForRoutes,
  listener: ListenerForRoutes,
): boolean {
  switch (listener.from) {
    case "All":
      return true;
    case "Same":
      return namespace === gateway.namespace;
    case "Selector":
      return listener.selector !== undefined && selectorMatches(listener.selector, snapshot.namespaceLabels(namespace));
    default:
      return false;
  }
}

function commonHostnames(listener: ListenerForRoutes, hostnames: readonly string[]): readonly string[] {
  if (hostnames.length === 0 || !hasHostname(listener.protocol)) return [listener.hostname];
  const common = hostnames.flatMap((hostname) => intersection(listener.hostname, hostname) ?? []);
  return compact([...new Set(common)]);
}

function problemOn(
  { hostnames, connectionProblem }: AttachContext,
  { protocol }: ListenerForRoutes,
): string | undefined {
  if (!carriesConnections(protocol)) return undefined;
  if (!hasHostname(protocol) && hostnames.length > 0) return `hostnames: a ${protocol} listener has none`;
  return connectionProblem;
}

type Refused = Pick<ParentOutcome, "reason" | "message">;
const REFUSED = { accepted: false, placements: [], transport: "TCP" } as const;

function attachTo(
  context: AttachContext,
  gateway: GatewayForRoutes,
  parentRef: ParentRef,
): Omit<ParentOutcome, "parentRef"> {
  const selected = gateway.listeners.filter(
    (one) =>
      (parentRef.sectionName === undefined || one.name === parentRef.sectionName) &&
      (parentRef.port === undefined || one.port === parentRef.port),
  );
  const transport: Transport = selected.some(({ protocol }) => transportOf(protocol) === "TCP") ? "TCP" : "UDP";
  const refuse = (refused: Refused) => ({ ...REFUSED, ...refused, transport });
  if (selected.length === 0)
    return refuse({ reason: "NoMatchingParent", message: "no listener has this sectionName and port" });
  // A route for requests must not come to stand on a message broker's port because nobody said otherwise.
  const isNamed = parentRef.sectionName !== undefined || parentRef.port !== undefined;
  const eligible = selected.filter((one) => isNamed || !carriesConnections(one.protocol));
  if (eligible.length === 0)
    return refuse({
      reason: "NoMatchingParent",
      message: "the Gateway has only TCP, TLS and UDP listeners; name one by sectionName or port",
    });
  const served = eligible.filter((one) => one.isServable);
  if (served.length === 0)
    return refuse({ reason: "NoMatchingParent", message: "no listener that could serve this route is accepted" });
  const allowed = served.filter((one) => one.allowsServiceRoute && allowsNamespace(context, gateway, one));
  if (allowed.length === 0)
    return refuse({ reason: "NotAllowedByListeners", message: "no listener allows ServiceRoutes of this namespace" });
  const problems = allowed.map((one) => problemOn(context, one));
  const [problem] = problems;
  if (problem !== undefined && problems.every((one) => one !== undefined))
    return refuse({ reason: "UnsupportedValue", message: problem });
  const fitting = allowed.filter((_, i) => problems[i] === undefined);
  if (new Set(fitting.map(({ protocol }) => transportOf(protocol))).size > 1)
    return refuse({ reason: "UnsupportedValue", message: `${ONE_TRANSPORT}; name one listener by sectionName` });
  const placements = fitting
    .map((one) => ({ listener: one.id, hostnames: commonHostnames(one, context.hostnames) }))
    .filter(({ hostnames }) => hostnames.length > 0);
  if (placements.length === 0) {
    return refuse({
      reason: "NoMatchingListenerHostname",
      message: "no hostname of the route is one of the listener's",
    });
  }
  return {
    accepted: true,
    reason: "Accepted",
    message: "The route is attached.",
    placements: compact(placements),
    transport,
  };
}

const ONE_TRANSPORT = "a route stands on listeners of UDP or on others, not on both";

const BUILTIN_REF: ParentRef = Object.freeze({ group: SERVICE_ROUTE_GROUP, kind: "BuiltinGateway", name: "default" });

function gatewayKeyOf(ref: ParentRef, namespace: string): Key<"Gateway"> | undefined {
  const { group = GATEWAY_GROUP, kind = "Gateway", name } = ref;
  if (group === SERVICE_ROUTE_GROUP && kind === "BuiltinGateway")
    return name === "default" ? BUILTIN_GATEWAY : undefined;
  return group === GATEWAY_GROUP && kind === "Gateway" ? keyOf("Gateway", ref.namespace ?? namespace, name) : undefined;
}

/** @returns undefined for a parent that belongs to another controller: we say nothing of it. */
function explicitParent(context: AttachContext, parentRef: ParentRef): ParentOutcome | undefined {
  const refuse = (message: string): ParentOutcome => ({ ...REFUSED, parentRef, reason: "NoMatchingParent", message });
  const key = gatewayKeyOf(parentRef, context.namespace);
  if (key === undefined) return refuse(`${parentRef.kind ?? "Gateway"} ${parentRef.name} cannot be a parent`);
  const gateway = context.gateways.get(key);
  if (gateway !== undefined) return { parentRef, ...attachTo(context, gateway, parentRef) };
  if (key === BUILTIN_GATEWAY) return refuse("the built-in gateway is switched off");
  if (context.snapshot.get(key) !== undefined) return undefined;
  const { namespace, name } = partsOf(key);
  return refuse(`Gateway ${namespace}/${name} does not exist`);
}

function defaultParents(context: AttachContext, named: ReadonlySet<Key<"Gateway">>): ParentOutcome[] {
  return context.gateways
    .defaults()
    .filter((gateway) => !named.has(gateway.key))
    .map((gateway) => {
      const { namespace, name } = partsOf(gateway.key);
      const parentRef =
        gateway.key === BUILTIN_GATEWAY ? BUILTIN_REF : { group: GATEWAY_GROUP, kind: "Gateway", namespace, name };
      return { parentRef, ...attachTo(context, gateway, parentRef) };
    });
}

/** What a route's backends are sent: connections, or datagrams where it stands on listeners of UDP alone. */
export const transportFor = (parents: readonly ParentOutcome[]): Transport =>
  (parents.find(({ accepted }) => accepted) ?? parents[0])?.transport ?? "TCP";

/** Its backends are ports of one transport: the parents of the other one are refused. */
function ofOneTransport(parents: readonly ParentOutcome[]): ParentOutcome[] {
  const hasOthers = parents.some(({ accepted, transport }) => accepted && transport !== "UDP");
  return parents.map((parent) =>
    hasOthers && parent.accepted && parent.transport === "UDP"
      ? {
          ...parent,
          ...REFUSED,
          reason: "UnsupportedValue",
          message: `${ONE_TRANSPORT}; give this one a route of its own`,
        }
      : parent,
  );
}

/** Every parent of a route that is ours, in order: those it names, then the default gateways. */
export function attach(
  context: AttachContext,
  parentRefs: readonly ParentRef[],
  useDefaultGateways: "All" | "None",
): ParentOutcome[] {
  const explicit = parentRefs.flatMap((ref) => explicitParent(context, ref) ?? []);
  if (useDefaultGateways === "None") return ofOneTransport(explicit);
  const named = new Set(parentRefs.flatMap((ref) => gatewayKeyOf(ref, context.namespace) ?? []));
  return ofOneTransport([...explicit, ...defaultParents(context, named)]);
}

/** Placements of several parents as one list: each listener once. */
export function mergePlacements(parents: readonly ParentOutcome[]): readonly Placement[] {
  const [only] = parents;
  if (only !== undefined && parents.length === 1) return only.placements;
  const byListener = new Map<Placement["listener"], Placement>();
  for (const placement of parents.flatMap((parent) => parent.placements)) byListener.set(placement.listener, placement);
  return compact([...byListener.values()]);
}
