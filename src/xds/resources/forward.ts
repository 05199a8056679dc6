import type { MessageInitShape } from "@bufbuild/protobuf";
import { FractionalPercent_DenominatorType as Denominator } from "../generated/envoy/type/v3/percent_pb.js";
import {
  type RouteActionSchema,
  RouteAction_ClusterNotFoundResponseCode as NotFound,
  type RouteAction_RequestMirrorPolicySchema,
  type WeightedCluster_ClusterWeightSchema,
} from "../generated/envoy/config/route/v3/route_components_pb.js";
import { type Filters, type Mirror, type PathMatch, type Rewrite, type RouteRule } from "../../routing/rule.ts";
import type { EndpointLookup } from "../options.ts";
import { NOBODY, clusterName } from "./cluster-name.ts";
import { headerChanges } from "./header-changes.ts";
import { pathChange } from "./path-change.ts";
import type { FractionInit } from "./route-match.ts";
import { retryPolicy } from "./retry.ts";
import { type Share, sharesOf } from "./shares.ts";
import { durationOf } from "./typed.ts";

type Action = MessageInitShape<typeof RouteActionSchema>;
type ForwardRule = RouteRule & { readonly action: { readonly kind: "forward" } };

/** What sends a part of a rule's requests on. */
export interface ForwardPart {
  /** Which part; undefined: all that are left. */
  readonly fraction: FractionInit | undefined;
  readonly action: Action;
}

/** Shares are cut to this. */
const MILLION = 1_000_000;
const fractionOf = (share: number): FractionInit => ({
  defaultValue: { numerator: Math.round(share * MILLION), denominator: Denominator.MILLION },
});

const nameOf = ({ cluster }: Share, { policy }: RouteRule): string =>
  cluster === undefined ? NOBODY : clusterName(cluster, policy);

function mirrorPolicies(
  mirrors: readonly Mirror[],
  rule: RouteRule,
): MessageInitShape<typeof RouteAction_RequestMirrorPolicySchema>[] {
  return mirrors.flatMap(({ backend, share }) =>
    backend.kind === "invalid" || share === 0
      ? []
      : [
          {
            cluster: clusterName(backend, rule.policy),
            runtimeFraction: fractionOf(share),
            disableShadowHostSuffixAppend: true,
          },
        ],
  );
}

function weighted(share: Share, rule: RouteRule): MessageInitShape<typeof WeightedCluster_ClusterWeightSchema> {
  const { requestHeaders, responseHeaders, rewrite } = share.filters;
  const [request, response] = [headerChanges(requestHeaders), headerChanges(responseHeaders)];
  return {
    name: nameOf(share, rule),
    weight: share.weight,
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

function target(shares: readonly Share[], rule: RouteRule): Action["clusterSpecifier"] {
  const [only] = shares;
  return shares.length === 1 && only !== undefined && isPlain(only.filters)
    ? { case: "cluster", value: nameOf(only, rule) }
    : { case: "weightedClusters", value: { clusters: shares.map((share) => weighted(share, rule)) } };
}

/** Whether Envoy can keep it beside others in one route. */
const needsOwnRoute = ({ filters: { rewrite, mirrors } }: Share): boolean =>
  rewrite?.path !== undefined || mirrors.length > 0;

function actionOf(rule: RouteRule, match: PathMatch, shares: readonly Share[], own: Filters | undefined): Action {
  const { policy, filters } = rule;
  const rewrites = [own?.rewrite, filters.rewrite].filter((one): one is Rewrite => one !== undefined);
  const path = rewrites.find((one) => one.path !== undefined)?.path;
  const hostname = filters.rewrite?.hostname;
  return {
    clusterSpecifier: target(shares, rule) ?? { case: undefined },
    clusterNotFoundResponseCode: NotFound.INTERNAL_SERVER_ERROR,
    timeout: durationOf(policy.requestTimeoutMs),
    idleTimeout: durationOf(policy.idleTimeoutMs),
    retryPolicy: retryPolicy(policy),
    requestMirrorPolicies: mirrorPolicies([...filters.mirrors, ...(own?.mirrors ?? [])], rule),
    ...(path === undefined ? {} : { regexRewrite: pathChange(path, match) }),
    ...(hostname === undefined ? {} : { hostRewriteSpecifier: { case: "hostRewriteLiteral", value: hostname } }),
  };
}

/**
 * One route where Envoy can say of each cluster what the rule says of its backends, else one for each: of a request the
 * same random number is compared with each fraction, so that these add up.
 */
export function forwardParts(rule: ForwardRule, match: PathMatch, lookup: EndpointLookup): readonly ForwardPart[] {
  const shares = sharesOf(rule.action, lookup);
  if (!shares.some(needsOwnRoute)) return [{ fraction: undefined, action: actionOf(rule, match, shares, undefined) }];
  const total = shares.reduce((sum, { weight }) => sum + weight, 0);
  let before = 0;
  return shares.map((share, i) => {
    before += share.weight;
    const isLast = i === shares.length - 1;
    return {
      fraction: isLast ? undefined : fractionOf(before / total),
      action: actionOf(rule, match, [share], share.filters),
    };
  });
}
