import { z } from "zod";
import { constrain } from "./constraint.ts";
import { Condition } from "./condition.ts";
import { GATEWAY_GROUP } from "./kinds.ts";
import {
  Group,
  HOSTNAMES_RULE,
  Hostname,
  KindName,
  Namespace,
  ObjectName,
  Port,
  SectionName,
  hostnameProblem,
  listAtomic,
  listMap,
} from "./primitives.ts";
import { RouteRule, RuleDefaults } from "./rule.ts";

export const ParentRef = z.strictObject({
  group: Group.optional().describe("Default: gateway.networking.k8s.io."),
  kind: KindName.optional().describe(
    "Gateway, ListenerSet or (group serviceroute.dev) BuiltinGateway. Default: Gateway.",
  ),
  name: ObjectName.describe("Name of the parent."),
  namespace: Namespace.optional().describe("Default: the route's namespace."),
  sectionName: SectionName.optional().describe(
    "One listener of the parent. Default: every listener that accepts the route.",
  ),
  port: Port.optional().describe("Only listeners on this port."),
});
export type ParentRef = z.output<typeof ParentRef>;

const identityOf = ({ group, kind, name, namespace, sectionName, port }: ParentRef): string =>
  JSON.stringify([group ?? GATEWAY_GROUP, kind ?? "Gateway", name, namespace, sectionName, port]);
const MAX_MATCHES = 256;

const uniqueNames = (rules: readonly { name?: string | undefined }[]): boolean => {
  const names = rules.flatMap((rule) => rule.name ?? []);
  return new Set(names).size === names.length;
};

/** The parts of a spec that concern the route as a whole. Rules stay unparsed, so that one bad rule costs no other. */
export const routeShape = {
  parentRefs: constrain(z.array(ParentRef).max(32), {
    rule: "self.all(a, self.exists_one(b, a == b))",
    message: "parentRefs must not name the same parent, sectionName and port twice",
    ok: (refs) => new Set(refs.map(identityOf)).size === refs.length,
    parserOnly: true,
  })
    .optional()
    .meta(listAtomic)
    .describe("The Gateways to attach to. Without parentRefs and useDefaultGateways: the default gateways."),
  useDefaultGateways: z
    .enum(["All", "None"])
    .optional()
    .describe("Whether to attach to the default gateways. Default: All without parentRefs, else None."),
  hostnames: constrain(z.array(Hostname).max(64), {
    rule: HOSTNAMES_RULE,
    message: "hostnames must be DNS names, no IP addresses, with labels of at most 63 characters",
    ok: (hostnames) => hostnames.every((hostname) => hostnameProblem(hostname) === undefined),
  })
    .optional()
    .meta(listAtomic)
    .describe(
      "Hosts to serve, lower-case; *.example.com matches one label or more. Default: every host of the listener.",
    ),
};

export const ServiceRouteSpec = z.strictObject({
  ...routeShape,
  defaults: RuleDefaults.optional().describe(
    "Fields for every rule. A rule's own field of the same name replaces it whole; filters merge by kind.",
  ),
  rules: constrain(
    z.array(RouteRule).min(1).max(64),
    {
      rule: "self.all(a, !has(a.name) || self.exists_one(b, has(b.name) && a.name == b.name))",
      message: "rule names must be unique within the route",
      ok: uniqueNames,
    },
    {
      rule: `self.map(r, has(r.matches) ? size(r.matches) : 1).sum() <= ${MAX_MATCHES}`,
      message: `at most ${MAX_MATCHES} matches in the whole route`,
      ok: (rules) => rules.reduce((sum, rule) => sum + (rule.matches?.length ?? 1), 0) <= MAX_MATCHES,
    },
  )
    .optional()
    .meta(listAtomic)
    .describe("What to do with requests, most specific match first. Default: one rule without matches."),
});
export type ServiceRouteSpec = z.output<typeof ServiceRouteSpec>;
export { MAX_MATCHES };

const EndpointCounts = z.object({
  ready: z.int().describe("Endpoints that take new requests."),
  draining: z.int().describe("Endpoints that are terminating and still serve; used only when none is ready."),
  total: z.int().describe("All endpoints that were found."),
});

const BackendStatus = z.object({
  name: z.string().max(253),
  namespace: z.string().max(63).optional(),
  kind: z.string().max(63).optional(),
  port: z.int().optional(),
  weight: z.int(),
  sharePercent: z.int().describe("Share of the rule's requests that reach this entry, in percent."),
  outcome: z
    .string()
    .max(64)
    .describe("Forwarded, Redistributed (share given to the others), NoEndpoints (503), or why its share gets 500."),
  endpoints: EndpointCounts.optional(),
});

export const RouteParentStatus = z.object({
  parentRef: z.object({
    group: z.string().max(253).optional(),
    kind: z.string().max(63).optional(),
    namespace: z.string().max(63).optional(),
    name: z.string().max(253),
    sectionName: z.string().max(253).optional(),
    port: z.int().optional(),
  }),
  controllerName: z.string().max(253),
  conditions: z
    .array(Condition)
    .max(8)
    .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"] }),
});
export type RouteParentStatus = z.output<typeof RouteParentStatus>;

export const ServiceRouteStatus = z.object({
  observedGeneration: z.int().optional().describe("The generation that this status speaks of."),
  conditions: z
    .array(Condition)
    .max(16)
    .optional()
    .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"] })
    .describe(
      "Accepted, ResolvedRefs, Programmed and Ready; PartiallyInvalid, Shadowed, Stalled and OverridesDefaults while they hold.",
    ),
  parents: z.array(RouteParentStatus).max(64).optional().meta(listAtomic).describe("One entry for each parent."),
  rules: z
    .array(
      z.object({ name: z.string().max(253), backends: z.array(BackendStatus).max(16).optional().meta(listAtomic) }),
    )
    .max(64)
    .optional()
    .meta(listMap)
    .describe("The weighted backends as they are now."),
  summary: z
    .object({ hostnames: z.string().max(300), endpoints: z.string().max(32), proxies: z.string().max(32) })
    .optional()
    .describe("What the columns of kubectl get show."),
});
export type ServiceRouteStatus = z.output<typeof ServiceRouteStatus>;
