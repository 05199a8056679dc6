import { type MessageInitShape, create } from "@bufbuild/protobuf";
import {
  HeaderMutationSchema,
  type HeaderMutation,
} from "../generated/envoy/config/common/mutation_rules/v3/mutation_rules_pb.js";
import {
  type RouteActionSchema,
  RouteAction_ClusterNotFoundResponseCode as NotFound,
  type RouteAction_RequestMirrorPolicySchema,
  type WeightedCluster_ClusterWeightSchema,
} from "../generated/envoy/config/route/v3/route_components_pb.js";
import { FractionalPercent_DenominatorType as Denominator } from "../generated/envoy/type/v3/percent_pb.js";
import { MIRRORED_BY } from "../../routing/reasons.ts";
import type { ClusterRef, Filters, Mirror, PathMatch, Rewrite, RouteRule, RuleAction } from "../../routing/rule.ts";
import type { EndpointLookup } from "../options.ts";
import { NOBODY, clusterName, fallbackName, mirrorVariant, variantOf } from "./cluster-variant.ts";
import { addHeader, headerChanges } from "./header-changes.ts";
import { pathChange } from "./path-change.ts";
import { retryPolicy } from "./retry.ts";
import type { FractionInit } from "./route-match.ts";
import { type Share, sharesOf } from "./shares.ts";
import { durationOf } from "./typed.ts";

type Action = MessageInitShape<typeof RouteActionSchema>;
type MirrorInit = MessageInitShape<typeof RouteAction_RequestMirrorPolicySchema>;
type WeightInit = MessageInitShape<typeof WeightedCluster_ClusterWeightSchema>;
export type ForwardRule = RouteRule & { readonly action: Extract<RuleAction, { kind: "forward" }> };

/** What sends a part of a rule's requests on. */
export interface ForwardPart {
  /** Which part; undefined: all that are left. */
  readonly fraction: FractionInit | undefined;
  readonly action: Action;
}

interface Sending {
  readonly rule: ForwardRule;
  readonly match: PathMatch;
  /** What copies are marked with; undefined: none are made. */
  readonly mark: string | undefined;
}

/** Shares are cut to this. */
const MILLION = 1_000_000;
const fractionOf = (share: number): FractionInit => ({
  defaultValue: { numerator: Math.round(share * MILLION), denominator: Denominator.MILLION },
});

function nameOf(cluster: ClusterRef | undefined, rule: ForwardRule): string {
  if (cluster === undefined) return NOBODY;
  const variant = variantOf(rule);
  const name = clusterName(cluster, variant);
  const last = rule.action.fallback?.target;
  return last?.kind === "cluster" ? fallbackName(name, clusterName(last, variant)) : name;
}

const marked = (mark: string): HeaderMutation =>
  create(HeaderMutationSchema, { action: { case: "append", value: addHeader(MIRRORED_BY, mark) } });

function mirrorPolicies(mirrors: readonly Mirror[], { rule, mark }: Sending): MirrorInit[] {
  if (mark === undefined) return [];
  return mirrors.flatMap(({ backend, share }): MirrorInit[] => {
    if (backend.kind === "invalid" || share === 0) return [];
    const cluster = clusterName(backend, mirrorVariant(variantOf(rule)));
    return [
      {
        cluster,
        runtimeFraction: fractionOf(share),
        disableShadowHostSuffixAppend: true,
        requestHeadersMutations: [marked(mark)],
      },
    ];
  });
}

function weighted({ cluster, weight, filters }: Share, rule: ForwardRule): WeightInit {
  const { requestHeaders, responseHeaders, rewrite } = filters;
  // Envoy makes those of the cluster before those of the route, so that here they have both.
  const request = changesByBackend(rule)
    ? headerChanges(rule.filters.requestHeaders, requestHeaders)
    : headerChanges(undefined);
  const response = headerChanges(responseHeaders);
  return {
    name: nameOf(cluster, rule),
    weight,
    requestHeadersToAdd: request.toAdd,
    requestHeadersToRemove: request.toRemove,
    responseHeadersToAdd: response.toAdd,
    responseHeadersToRemove: response.toRemove,
    ...(rewrite?.hostname === undefined
      ? {}
      : { hostRewriteSpecifier: { case: "hostRewriteLiteral", value: rewrite.hostname } }),
  };
}

const isPlain = ({ requestHeaders, responseHeaders, rewrite }: Filters): boolean =>
  requestHeaders === undefined && responseHeaders === undefined && rewrite === undefined;

/** Whether the changes of the rule are made with those of the backend that is chosen. */
export const changesByBackend = ({ action: { backends } }: ForwardRule): boolean =>
  backends.some(({ filters }) => filters.requestHeaders !== undefined);

function target(shares: readonly Share[], rule: ForwardRule): NonNullable<Action["clusterSpecifier"]> {
  const [only] = shares;
  return shares.length === 1 && only !== undefined && isPlain(only.filters) && !changesByBackend(rule)
    ? { case: "cluster", value: nameOf(only.cluster, rule) }
    : { case: "weightedClusters", value: { clusters: shares.map((share) => weighted(share, rule)) } };
}

/** Whether Envoy cannot keep it beside others in one route. */
const needsOwnRoute = ({ filters: { rewrite, mirrors } }: Share): boolean =>
  rewrite?.path !== undefined || mirrors.length > 0;

function actionOf(sending: Sending, shares: readonly Share[], own: Filters | undefined): Action {
  const { rule, match } = sending;
  const { policy, filters } = rule;
  const rewrites = [own?.rewrite, filters.rewrite].filter((one): one is Rewrite => one !== undefined);
  const path = rewrites.find((one) => one.path !== undefined)?.path;
  const hostname = filters.rewrite?.hostname;
  return {
    clusterSpecifier: target(shares, rule),
    clusterNotFoundResponseCode: NotFound.INTERNAL_SERVER_ERROR,
    timeout: durationOf(policy.requestTimeoutMs),
    idleTimeout: durationOf(policy.idleTimeoutMs),
    retryPolicy: retryPolicy(policy),
    requestMirrorPolicies: mirrorPolicies([...filters.mirrors, ...(own?.mirrors ?? [])], sending),
    ...(path === undefined ? {} : { regexRewrite: pathChange(path, match) }),
    ...(hostname === undefined ? {} : { hostRewriteSpecifier: { case: "hostRewriteLiteral", value: hostname } }),
  };
}

/**
 * One route where Envoy can say of each cluster what the rule says of its backends, else one for each: of a request the
 * same random number is compared with each fraction, so that these add up.
 */
export function forwardParts(sending: Sending, lookup: EndpointLookup): readonly ForwardPart[] {
  const shares = sharesOf(sending.rule.action, lookup);
  if (!shares.some(needsOwnRoute)) return [{ fraction: undefined, action: actionOf(sending, shares, undefined) }];
  const total = shares.reduce((sum, { weight }) => sum + weight, 0);
  let before = 0;
  return shares.map((share, i) => {
    before += share.weight;
    const isLast = i === shares.length - 1;
    return {
      fraction: isLast ? undefined : fractionOf(before / total),
      action: actionOf(sending, [share], share.filters),
    };
  });
}
