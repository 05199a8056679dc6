import type { RefError, SpecError } from "../api/condition.ts";
import type { KubeObject } from "../api/objects.ts";
import type { MatchEntry } from "../routing/precedence.ts";
import type { RouteTable } from "../routing/routing-table.ts";
import type { RouteRule } from "../routing/rule.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";
import { type ParentOutcome, attach, mergePlacements, transportFor } from "./attach.ts";
import type { GatewayLookup } from "./gateway-for-routes.ts";
import { compact } from "./compact.ts";
import { listErrors } from "./conditions.ts";
import { type ParseOutcome, parseRoute } from "./parse-route.ts";
import { connectionProblem } from "./tcp.ts";
import { translateRule } from "./rule.ts";

/** One route, whole: what it puts into the table and what is to be said of it come from the same pass. */
export interface RouteTranslation {
  readonly uid: string;
  readonly generation: number;
  /** What the API server's counter said when this generation was seen; tells replicas how far they are. */
  readonly resourceVersion: string;
  readonly hostnames: readonly string[];
  readonly table: RouteTable | undefined;
  readonly parents: readonly ParentOutcome[];
  /** Wants no parent at all. */
  readonly isDraft: boolean;
  readonly rules: readonly RouteRule[];
  readonly specErrors: readonly SpecError[];
  readonly refErrors: readonly RefError[];
  /** Names of rules that answer 500, and of those whose matches could not all be understood. */
  readonly failedRules: readonly string[];
  readonly droppedRules: readonly string[];
}

/** Its parents are told, and nothing of it is served. */
function refused(
  snapshot: ClusterSnapshot,
  gateways: GatewayLookup,
  route: KubeObject<"ServiceRoute">,
  { errors, hostnames, parentRefs, useDefaultGateways }: Extract<ParseOutcome, { ok: false }>,
): RouteTranslation {
  const { uid, generation, resourceVersion, namespace } = route.metadata;
  const parents = attach(
    { snapshot, gateways, namespace, hostnames: [], connectionProblem: undefined },
    parentRefs,
    useDefaultGateways,
  );
  const told = { accepted: false, reason: "UnsupportedValue", message: listErrors(errors), placements: [] } as const;
  return {
    uid,
    generation,
    resourceVersion,
    hostnames,
    table: undefined,
    parents: parents.map((parent) => ({ ...parent, ...told })),
    isDraft: false,
    rules: [],
    specErrors: errors,
    refErrors: [],
    failedRules: [],
    droppedRules: [],
  };
}

export function translateRoute(
  snapshot: ClusterSnapshot,
  gateways: GatewayLookup,
  route: KubeObject<"ServiceRoute">,
): RouteTranslation {
  const parsed = parseRoute(route.spec);
  if (!parsed.ok) return refused(snapshot, gateways, route, parsed);
  const { parentRefs, useDefaultGateways, hostnames, defaults, rules: raw } = parsed.route;
  const { namespace, uid, generation, resourceVersion, creationTimestamp } = route.metadata;

  const parents = attach(
    { snapshot, gateways, namespace, hostnames, connectionProblem: connectionProblem(parsed.route) },
    parentRefs,
    useDefaultGateways,
  );
  const identity = { key: route.key, namespace, transport: transportFor(parents), clusters: new Map() };
  const translated = raw.map((rule, i) => translateRule(snapshot, identity, rule, defaults, i));
  const rules = translated.map(({ rule }) => rule);
  const entries = translated.flatMap(({ rule, matches }) =>
    matches.map((match, index): MatchEntry => ({ match, rule, createdAt: creationTimestamp, index })),
  );
  const placements = mergePlacements(parents);
  return {
    uid,
    generation,
    resourceVersion,
    hostnames,
    table: placements.length === 0 ? undefined : { entries: compact(entries), placements },
    parents: compact(parents),
    isDraft: parentRefs.length === 0 && useDefaultGateways === "None",
    rules,
    specErrors: compact(translated.flatMap(({ problems }) => problems.specErrors)),
    refErrors: compact(translated.flatMap(({ problems }) => problems.refErrors)),
    failedRules: compact(translated.filter(({ problems }) => problems.count > 0).map(({ rule }) => rule.name)),
    droppedRules: compact(translated.filter(({ droppedMatches }) => droppedMatches).map(({ rule }) => rule.name)),
  };
}
