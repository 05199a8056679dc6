import type { RouteMatch } from "../api/match.ts";
import type { RouteRule as RuleSpec, RuleDefaults } from "../api/rule.ts";
import { patternSize } from "../routing/match.ts";
import type { RouteKey } from "../routing/routing-table.ts";
import type { RefName, RequestMatch, RouteRule, RuleAction, WeightedBackend } from "../routing/rule.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";
import { type BackendContext, type BackendObject, resolveBackend } from "./backends.ts";
import { clusterPolicyId, clusterPolicyOf } from "./cluster-policy.ts";
import { type EffectiveRule, effectiveRule } from "./effective-rule.ts";
import { NO_FILTERS, translateFilters } from "./filters.ts";
import { translateMatch } from "./match.ts";
import type { ParsedRule } from "./parse-route.ts";
import { DEFAULT_POLICY, algorithmOf, policyHashOf, policyOf, refuseUnserved } from "./policies.ts";
import { Problems } from "./problems.ts";

export interface RouteIdentity extends Pick<BackendContext, "namespace" | "transport" | "clusters"> {
  readonly key: RouteKey;
}

export interface TranslatedRule {
  readonly rule: RouteRule;
  readonly matches: readonly RequestMatch[];
  readonly problems: Problems;
  /** Some match could not be understood, so that its traffic goes elsewhere. */
  readonly droppedMatches: boolean;
}

const EVERYTHING = [{}];
/** Of all patterns of a rule: each takes memory, and a request may have to ask them all. */
const MAX_INSTRUCTIONS = 10_000;

/** One rule, whatever is wrong with it: what cannot be built keeps the matches that can, and answers 500. */
export function translateRule(
  snapshot: ClusterSnapshot,
  route: RouteIdentity,
  parsed: ParsedRule,
  defaults: RuleDefaults,
  index: number,
): TranslatedRule {
  const problems = new Problems();
  const field = `rules[${index}]`;
  const raw = parsed.ok ? (parsed.spec.matches ?? []) : parsed.matches;
  const written = parsed.ok && raw.length === 0 ? EVERYTHING : raw;
  if (!parsed.ok) problems.specErrors.push(...parsed.errors);
  const matches = matchesOf(written, field, problems);
  const name = (parsed.ok ? parsed.spec.name : parsed.name) ?? field;
  const effective = parsed.ok ? effectiveRule(parsed.spec, defaults, field) : undefined;
  const built = effective === undefined ? undefined : build(snapshot, route, effective, field, problems);
  const outcome = built !== undefined && problems.count === 0 ? built : failedRule(problems);
  return {
    rule: { route: route.key, name, index, ...outcome },
    matches,
    problems,
    droppedMatches: matches.length < written.length || (!parsed.ok && written.length === 0),
  };
}

function matchesOf(written: readonly RouteMatch[], field: string, problems: Problems): RequestMatch[] {
  let instructions = 0;
  return written.flatMap((raw, i) => {
    const at = `${field}.matches[${i}]`;
    const match = translateMatch(raw, at, problems);
    if (match === undefined) return [];
    const size = patternSize(match);
    if (size === 0 || instructions + size <= MAX_INSTRUCTIONS) {
      instructions += size;
      return [match];
    }
    problems.spec(at, `with this one the rule's patterns compile to more than ${MAX_INSTRUCTIONS} instructions`);
    return [];
  });
}

function failedRule({ specErrors: [first] }: Problems): Built {
  const message = first === undefined ? "" : `${first.field}: ${first.message}`;
  return { action: { kind: "fail", reason: "InvalidRule", message }, filters: NO_FILTERS, policy: DEFAULT_POLICY };
}

type Built = Pick<RouteRule, "action" | "filters" | "policy">;

function build(
  snapshot: ClusterSnapshot,
  route: RouteIdentity,
  effective: EffectiveRule,
  field: string,
  problems: Problems,
): Built {
  const { spec } = effective;
  refuseUnserved(effective, problems);
  const policy = clusterPolicyOf(spec);
  const context: BackendContext = {
    snapshot,
    namespace: route.namespace,
    transport: route.transport,
    clusters: route.clusters,
    problems,
    algorithm: algorithmOf(spec),
    policy,
    policyHash: [policyHashOf(spec), clusterPolicyId(policy)].filter((part) => part !== "").join(";"),
    defaultHttp: isGrpcOnly(spec) ? "2" : "1.1",
  };
  const { filters, answer } = translateFilters(effective.filters, context);
  const backends = backendsOf(spec, field, context);
  if (answer !== undefined && backends.length > 0) {
    problems.spec(`${field}.backendRefs`, "must be empty when a filter answers the request", "IncompatibleFilters");
  }
  requirePrefixMatches(effective, field, problems);
  return { filters, action: answer ?? forward(spec, backends, fallbackOf(effective, context)), policy: policyOf(spec) };
}

function forward(
  spec: RuleSpec,
  backends: readonly WeightedBackend[],
  fallback: WeightedBackend | undefined,
): RuleAction {
  if (backends.every((backend) => backend.weight === 0)) {
    const message = backends.length === 0 ? "the rule has no backendRefs" : "every backendRef has weight 0";
    return { kind: "fail", reason: "NoBackends", message, backends };
  }
  return {
    kind: "forward",
    backends,
    redistribute: spec.whenNoEndpoints === "Redistribute",
    ...(fallback === undefined ? {} : { fallback }),
  };
}

function fallbackOf({ spec, fieldOf }: EffectiveRule, context: BackendContext): WeightedBackend | undefined {
  if (spec.fallback === undefined) return undefined;
  const { backendRef } = spec.fallback;
  const target = resolveBackend(context, backendRef, `${fieldOf("fallback")}.backendRef`);
  return { ref: nameOf(backendRef), target, weight: 1, filters: NO_FILTERS };
}

/** A reference as it was written. */
const nameOf = ({ name, namespace, kind, port }: BackendObject): RefName => ({
  name,
  ...(namespace === undefined ? {} : { namespace }),
  ...(kind === undefined ? {} : { kind }),
  ...(port === undefined ? {} : { port }),
});

function backendsOf(spec: RuleSpec, field: string, context: BackendContext): WeightedBackend[] {
  return (spec.backendRefs ?? []).map((ref, i) => {
    const at = `${field}.backendRefs[${i}]`;
    const located = (ref.filters ?? []).map((filter, j) => ({ filter, field: `${at}.filters[${j}]` }));
    const { filters, answer } = translateFilters(located, context);
    if (answer !== undefined || filters.cors !== undefined) {
      context.problems.spec(
        `${at}.filters`,
        "only header changes, rewrites and mirrors are served inside a backendRef",
      );
    }
    return { ref: nameOf(ref), target: resolveBackend(context, ref, at), weight: ref.weight ?? 1, filters };
  });
}

const isGrpcOnly = ({ matches = [] }: RuleSpec): boolean =>
  matches.length > 0 && matches.every((match) => match.grpc !== undefined);

/** Checked again after defaults are merged: a default's rewrite meets this rule's matches only now. */
function requirePrefixMatches({ filters, spec }: EffectiveRule, field: string, problems: Problems): void {
  const replaces = filters.find(
    ({ filter }) => (filter.requestRedirect ?? filter.urlRewrite)?.path?.type === "ReplacePrefixMatch",
  );
  const prefixOnly = (spec.matches ?? []).every(
    (m) => m.grpc === undefined && (m.path?.type ?? "PathPrefix") === "PathPrefix",
  );
  if (replaces !== undefined && !prefixOnly)
    problems.spec(
      replaces.field,
      `ReplacePrefixMatch needs every match of ${field} to be a PathPrefix`,
      "IncompatibleFilters",
    );
}
