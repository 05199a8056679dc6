import type { DesiredCondition } from "../api/condition.ts";
import { displayName, partsOf } from "../api/keys.ts";
import { CONTROLLER_NAME, GATEWAY_GROUP } from "../api/kinds.ts";
import type { ParentRef } from "../api/service-route.ts";
import { type EndpointLookup, effectiveWeights, sharePercents } from "../routing/backend-choice.ts";
import { type MatchEntry, decidingStep } from "../routing/precedence.ts";
import type { RouteKey } from "../routing/routing-table.ts";
import type { RouteRule, WeightedBackend } from "../routing/rule.ts";
import { type ListenerId, gatewayOfListener } from "../routing/listener.ts";
import { type ListenerState, type Liveness, type Served, servedBy } from "../routing/programmed.ts";
import type { DesiredRouteStatus } from "../routing/status-report.ts";
import type { ParentOutcome } from "./attach.ts";
import { type Verdict, condition, listErrors, resolvedRefs, verdict, worst } from "./conditions.ts";
import type { RouteTranslation } from "./translate-route.ts";

export interface Shadow {
  readonly entry: MatchEntry;
  readonly winner: MatchEntry;
}

export interface StatusContext {
  readonly key: RouteKey;
  readonly endpoints: EndpointLookup;
  readonly shadows: readonly Shadow[];
  readonly liveness: Liveness | undefined;
  /** What the data plane says of a listener; undefined when it does not have it. */
  readonly listenerState: (id: ListenerId) => ListenerState | undefined;
  /** Of a listener that no data plane has: why that stays so until its Gateway is mended. */
  readonly whyUnservable: (id: ListenerId) => string | undefined;
}

function accepted(translation: RouteTranslation, parent: ParentOutcome): Verdict {
  const { rules, failedRules, specErrors } = translation;
  if (rules.length > 0 && failedRules.length === rules.length) {
    return verdict("False", specErrors[0]?.reason ?? "UnsupportedValue", listErrors(specErrors));
  }
  return verdict(parent.accepted ? "True" : "False", parent.reason, parent.message);
}

/** Who serves the route where this parent has it; undefined: that is not known of this generation. */
function servedAt(parent: ParentOutcome, generation: number, liveness: Liveness | undefined): Served | undefined {
  if (liveness?.generation !== generation) return undefined;
  const { byGateway } = liveness;
  if (byGateway === undefined) return liveness;
  const gateways = new Set(parent.placements.map(({ listener }) => gatewayOfListener(listener)));
  const known = [...gateways].map((gateway) => byGateway.get(gateway));
  return known.some((one) => one === undefined) ? undefined : servedBy(known.filter((one) => one !== undefined));
}

function programmed(
  { generation }: RouteTranslation,
  parent: ParentOutcome,
  accept: Verdict,
  context: StatusContext,
): Verdict {
  const { liveness, listenerState } = context;
  if (accept.status !== "True") return verdict("False", "Invalid", "The route is not accepted.");
  const served = servedAt(parent, generation, liveness);
  if (served?.rejected !== undefined) return verdict("False", "RejectedByProxy", served.rejected);
  if (served?.total === 0) return verdict("Unknown", "NoProxies", "No proxy serves the Gateway's traffic.");
  const states = parent.placements.map(({ listener }) => ({ listener, state: listenerState(listener) }));
  const failed = states.find(({ state }) => state?.kind === "failed");
  if (failed?.state?.kind === "failed") return verdict("False", "ListenerNotProgrammed", failed.state.message);
  const silent = states.find(({ state }) => state === undefined);
  const why = silent === undefined ? undefined : context.whyUnservable(silent.listener);
  if (silent !== undefined && why !== undefined)
    return verdict(
      "False",
      "ListenerNotProgrammed",
      `Listener ${silent.listener} ${why}; the status of its Gateway says more.`,
    );
  if (silent !== undefined) return verdict("Unknown", "Pending", `Listener ${silent.listener} does not serve.`);
  if (served === undefined) return verdict("Unknown", "Pending", "Waiting for the data plane.");
  const { live, total } = served;
  if (live < total) return verdict("Unknown", "Pending", `live on ${live} of ${total}`);
  return verdict("True", "Programmed", `live on ${live} of ${total}`);
}

/** The parentRef as Gateway API controllers write it back: with group, kind and namespace said. */
function fullRef(ref: ParentRef, namespace: string): ParentRef {
  const gateway = (ref.group ?? GATEWAY_GROUP) === GATEWAY_GROUP;
  return {
    ...ref,
    group: ref.group ?? GATEWAY_GROUP,
    kind: ref.kind ?? "Gateway",
    ...(gateway && ref.namespace === undefined ? { namespace } : {}),
  };
}

function outcomeOf({ target, weight }: WeightedBackend, effective: number, lookup: EndpointLookup): string {
  if (target.kind === "invalid") return target.error.reason;
  if (effective === 0 && weight > 0) return "Redistributed";
  return (lookup(target.endpoints)?.usable.length ?? 0) === 0 ? "NoEndpoints" : "Forwarded";
}

function ruleStatus({ name, action }: RouteRule, lookup: EndpointLookup): DesiredRouteStatus["rules"][number] {
  const backends = action.kind === "forward" ? action.backends : action.kind === "fail" ? action.backends : undefined;
  if (backends === undefined || backends.length === 0) return { name };
  const weights = effectiveWeights(backends, action.kind === "forward" && action.redistribute, lookup);
  const shares = sharePercents(weights);
  const told = backends.map((backend, i) => {
    const { target, ref, weight } = backend;
    const set = target.kind === "cluster" ? lookup(target.endpoints) : undefined;
    const endpoints =
      set === undefined ? {} : { endpoints: { ready: set.ready, draining: set.draining, total: set.total } };
    return {
      ...ref,
      weight,
      sharePercent: shares[i] ?? 0,
      outcome: outcomeOf(backend, weights[i] ?? 0, lookup),
      ...endpoints,
    };
  });
  return { name, backends: told };
}

function endpointSummary(rules: readonly RouteRule[], lookup: EndpointLookup): string {
  const keys = new Set(
    rules.flatMap(({ action }) =>
      action.kind === "forward"
        ? action.backends.flatMap(({ target }) => (target.kind === "cluster" ? [target.endpoints] : []))
        : [],
    ),
  );
  const sets = [...keys].map((key) => lookup(key));
  const sum = (count: (set: NonNullable<ReturnType<EndpointLookup>>) => number): number =>
    sets.reduce((total, set) => total + (set === undefined ? 0 : count(set)), 0);
  return `${sum((set) => (set.ready > 0 ? set.ready : set.draining))}/${sum((set) => set.total)}`;
}

/** Counts, not addresses: a Service of another namespace must not show them (S27). */
function droppedEndpoints(rules: readonly RouteRule[], lookup: EndpointLookup): string {
  const backends = rules.flatMap(({ action }) => (action.kind === "forward" ? action.backends : []));
  const keys = new Set(backends.flatMap(({ target }) => (target.kind === "cluster" ? [target.endpoints] : [])));
  const told = [...keys].flatMap((key) => {
    const count = lookup(key)?.dropped.length ?? 0;
    return count === 0
      ? []
      : [`${key}: ${count} endpoint addresses are loopback, link-local, multicast or unspecified`];
  });
  return told.join("; ");
}

function hostnameSummary([first = "*", ...others]: readonly string[]): string {
  return others.length === 0 ? first : `${first} +${others.length}`;
}

function shadowMessage(key: RouteKey, { entry, winner }: Shadow): string {
  const own = partsOf(key).namespace === partsOf(winner.rule.route).namespace;
  const who = own
    ? `${winner.rule.name} of ServiceRoute ${displayName(winner.rule.route)}`
    : "a route in another namespace";
  return `${entry.rule.name} match ${entry.index}: ${who} takes every request (${decidingStep(winner, entry)})`;
}

/** Conditions that are there only while they hold. */
function occasional(translation: RouteTranslation, context: StatusContext): DesiredCondition[] {
  const { generation, rules, failedRules, droppedRules, specErrors } = translation;
  const out: DesiredCondition[] = [];
  const add = (type: string, reason: string, message: string): void =>
    void out.push(condition(type, generation, verdict("True", reason, message)));
  if (failedRules.length > 0 && failedRules.length < rules.length) {
    const without = droppedRules.length === 0 ? "" : ` (not every match of ${droppedRules.join(", ")})`;
    add(
      "PartiallyInvalid",
      specErrors[0]?.reason ?? "UnsupportedValue",
      `Dropped Rule ${failedRules.join(", ")}: what it matches is answered with 500${without}. ${listErrors(specErrors)}`,
    );
  }
  const dropped = droppedEndpoints(rules, context.endpoints);
  if (dropped !== "") add("EndpointsDropped", "ForbiddenAddress", dropped);
  if (context.shadows.length > 0)
    add("Shadowed", "Shadowed", context.shadows.map((shadow) => shadowMessage(context.key, shadow)).join("; "));
  return out;
}

/** @source kstatus: Ready and Stalled are what it reads. */
function kstatus(generation: number, accept: Verdict, program: Verdict, isDraft: boolean): DesiredCondition[] {
  const ready = accept.status === "True" ? program : accept;
  const isReady = ready.status === "True";
  const conditions = [
    condition("Ready", generation, isReady ? verdict("True", "Ready", "Accepted and programmed.") : ready),
  ];
  if (accept.status === "False" && !isDraft)
    conditions.push(condition("Stalled", generation, verdict("True", accept.reason, accept.message)));
  return conditions;
}

const DRAFT = verdict("False", "NoMatchingParent", "A draft: it has no parentRefs, and useDefaultGateways is None.");
const NO_PARENT = verdict(
  "False",
  "NoMatchingParent",
  "No Gateway of this controller takes the route: name one in parentRefs, or mark a Gateway as default.",
);

export function routeStatus(translation: RouteTranslation, context: StatusContext): DesiredRouteStatus {
  const { generation, parents, rules, hostnames, specErrors } = translation;
  const resolved = resolvedRefs(translation.refErrors);
  const namespace = partsOf(context.key).namespace;
  const perParent = parents.map((parent) => {
    const accept = accepted(translation, parent);
    return { parent, accept, program: programmed(translation, parent, accept, context) };
  });
  const unparsed =
    rules.length === 0 && specErrors.length > 0
      ? verdict("False", "UnsupportedValue", listErrors(specErrors))
      : undefined;
  const accept = unparsed ?? worst(perParent.map((p) => p.accept)) ?? (translation.isDraft ? DRAFT : NO_PARENT);
  const program = worst(perParent.map((p) => p.program)) ?? verdict("False", "Invalid", "The route is not accepted.");
  const { liveness } = context;
  const { live, total } = liveness?.generation === generation ? liveness : { live: 0, total: 0 };
  // A proxy that has the route in its table and no listener for it serves nobody.
  const proxies = `${program.status === "False" ? 0 : live}/${total}`;
  return {
    generation,
    conditions: [
      condition("Accepted", generation, accept),
      condition("ResolvedRefs", generation, resolved),
      condition("Programmed", generation, program),
      ...kstatus(generation, accept, program, translation.isDraft),
      ...occasional(translation, context),
    ],
    parents: perParent.map((p) => ({
      parentRef: fullRef(p.parent.parentRef, namespace),
      controllerName: CONTROLLER_NAME,
      conditions: [
        condition("Accepted", generation, p.accept),
        condition("ResolvedRefs", generation, resolved),
        condition("Programmed", generation, p.program),
      ],
    })),
    rules: rules.map((rule) => ruleStatus(rule, context.endpoints)),
    summary: { hostnames: hostnameSummary(hostnames), endpoints: endpointSummary(rules, context.endpoints), proxies },
  };
}
