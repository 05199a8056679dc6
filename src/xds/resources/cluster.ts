import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import {
  ClusterSchema,
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
  type LoadBalancingPolicy_PolicySchema,
} from "../generated/envoy/config/cluster/v3/cluster_pb.js";
import type { OutlierDetectionSchema } from "../generated/envoy/config/cluster/v3/outlier_detection_pb.js";
import type { HealthCheckSchema } from "../generated/envoy/config/core/v3/health_check_pb.js";
import { ClusterConfigSchema as AggregateClusterSchema } from "../generated/envoy/extensions/clusters/aggregate/v3/cluster_pb.js";
import { LeastRequestSchema } from "../generated/envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.js";
import { RandomSchema } from "../generated/envoy/extensions/load_balancing_policies/random/v3/random_pb.js";
import { RoundRobinSchema } from "../generated/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin_pb.js";
import {
  HttpProtocolOptionsSchema,
  type HttpProtocolOptions_ExplicitHttpConfigSchema,
} from "../generated/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js";
import { CodecClientType } from "../generated/envoy/type/v3/http_pb.js";
import type { CircuitBreaker, PassiveHealth } from "../../routing/cluster-policy.ts";
import { partsOfEndpointsKey } from "../../routing/endpoints.ts";
import type { Algorithm, BackendHttp, ClusterRef } from "../../routing/rule.ts";
import { ADS } from "./ads-source.ts";
import { backendTlsSocket } from "./backend-tls.ts";
import { type ClusterVariant, clusterName } from "./cluster-variant.ts";
import { setHeader } from "./header-changes.ts";
import { METADATA } from "./metadata.ts";
import { type Resource, encoded, idOf, resourceOf } from "./resource.ts";
import { durationOf, packed } from "./typed.ts";
import { upstreamFilters } from "./upstream-filters.ts";

/** Envoy's own limits are 1,024 of everything; a backend that nobody limits has none. */
const NO_LIMIT = 2 ** 32 - 1;
const BUFFER_BYTES = 32 * 1024;
/** Over HTTP/1.1 below what backends commonly have, so that we rarely send on a connection that is being closed. */
const IDLE_MS = { "1.1": 4000, "2": 60_000 } as const;
const MOST_STREAMS = 100;
const STREAM_WINDOW = 64 * 1024;
const CONNECTION_WINDOW = 1024 * 1024;
const HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

type Init = MessageInitShape<typeof ClusterSchema>;

type LbPolicy = MessageInitShape<typeof LoadBalancingPolicy_PolicySchema>;

function lbPolicy(algorithm: Algorithm): LbPolicy {
  const name = "envoy.load_balancing_policies";
  switch (algorithm) {
    case "LeastRequest":
      return lbExtension(`${name}.least_request`, packed(LeastRequestSchema, { choiceCount: 2 }));
    case "RoundRobin":
      return lbExtension(`${name}.round_robin`, packed(RoundRobinSchema, {}));
    case "Random":
      return lbExtension(`${name}.random`, packed(RandomSchema, {}));
    default:
      return algorithm satisfies never;
  }
}

const lbExtension = (name: string, typedConfig: Any): LbPolicy => ({ typedExtensionConfig: { name, typedConfig } });

function limits(breaker: CircuitBreaker | undefined, { budget }: ClusterVariant): Init["circuitBreakers"] {
  const limit = (count: number | undefined): number => Math.min(count ?? NO_LIMIT, NO_LIMIT);
  const retries =
    budget === undefined
      ? { maxRetries: NO_LIMIT }
      : { retryBudget: { budgetPercent: { value: budget.percent }, minRetryConcurrency: budget.minConcurrent } };
  const threshold = {
    maxConnections: limit(breaker?.maxConnections),
    maxPendingRequests: limit(breaker?.maxPendingRequests),
    maxRequests: limit(breaker?.maxRequests),
    maxConnectionPools: NO_LIMIT,
    ...retries,
  };
  return { thresholds: [threshold] };
}

const AVOIDED_MS = 1000;
/** The last endpoint is never avoided. */
const NOT_ALL_PERCENT = 99;
const NOTHING_ELSE = {
  enforcingSuccessRate: 0,
  enforcingConsecutiveGatewayFailure: 0,
  enforcingFailurePercentage: 0,
  enforcingFailurePercentageLocalOrigin: 0,
  enforcingLocalOriginSuccessRate: 0,
} as const;

/** An endpoint that refuses connections is the least busy one, and would draw all tries: others are preferred for a second. */
const AVOIDANCE: MessageInitShape<typeof OutlierDetectionSchema> = {
  ...NOTHING_ELSE,
  splitExternalLocalOriginErrors: true,
  consecutiveLocalOriginFailure: 1,
  enforcingConsecutiveLocalOriginFailure: 100,
  enforcingConsecutive5xx: 0,
  interval: durationOf(AVOIDED_MS / 2),
  baseEjectionTime: durationOf(AVOIDED_MS),
  maxEjectionTime: durationOf(AVOIDED_MS),
  maxEjectionPercent: NOT_ALL_PERCENT,
};

/** What is not asked for is switched off by name. */
function outliers(passive: PassiveHealth | undefined): MessageInitShape<typeof OutlierDetectionSchema> {
  if (passive === undefined) return AVOIDANCE;
  return {
    ...NOTHING_ELSE,
    consecutive5xx: passive.consecutive5xx,
    enforcingConsecutive5xx: 100,
    interval: durationOf(passive.intervalMs),
    baseEjectionTime: durationOf(passive.ejectionTimeMs),
    maxEjectionPercent: passive.maxEjectionPercent,
    alwaysEjectOneHost: true,
    splitExternalLocalOriginErrors: false,
  };
}

/** So many times in a row an endpoint must be out of reach; a wrong answer is its own word, and counts at once. */
const UNREACHABLE_LIMIT = 3;
const CHECK_MS = 1000;
const CHECKER = "serviceroute-health-check";

function checks({ policy: { active }, http, endpoints }: ClusterRef): MessageInitShape<typeof HealthCheckSchema>[] {
  if (active === undefined) return [];
  const { namespace, service } = partsOfEndpointsKey(endpoints);
  const interval = durationOf(active.intervalMs);
  const common = {
    timeout: durationOf(CHECK_MS),
    interval,
    noTrafficInterval: interval,
    noTrafficHealthyInterval: interval,
    unhealthyThreshold: UNREACHABLE_LIMIT,
    healthyThreshold: 1,
  };
  switch (active.type) {
    case "HTTP": {
      const value = {
        host: `${service}.${namespace}`,
        path: active.path,
        codecClientType: http === "2" ? CodecClientType.HTTP2 : CodecClientType.HTTP1,
        expectedStatuses: [{ start: 200n, end: 300n }],
        requestHeadersToAdd: [setHeader("user-agent", CHECKER)],
      };
      return [{ ...common, healthChecker: { case: "httpHealthCheck", value } }];
    }
    case "GRPC":
      return [
        { ...common, healthChecker: { case: "grpcHealthCheck", value: { authority: `${service}.${namespace}` } } },
      ];
    case "TCP":
      return [{ ...common, healthChecker: { case: "tcpHealthCheck", value: {} } }];
    default:
      return active.type satisfies never;
  }
}

function httpOptions(http: BackendHttp, variant: ClusterVariant): Any {
  const protocolConfig: MessageInitShape<typeof HttpProtocolOptions_ExplicitHttpConfigSchema>["protocolConfig"] =
    http === "2"
      ? {
          case: "http2ProtocolOptions",
          value: {
            maxConcurrentStreams: MOST_STREAMS,
            initialStreamWindowSize: STREAM_WINDOW,
            initialConnectionWindowSize: CONNECTION_WINDOW,
            allowConnect: true,
          },
        }
      : { case: "httpProtocolOptions", value: {} };
  return packed(HttpProtocolOptionsSchema, {
    commonHttpProtocolOptions: { idleTimeout: durationOf(IDLE_MS[http]) },
    upstreamProtocolOptions: { case: "explicitHttpConfig", value: { protocolConfig } },
    httpFilters: upstreamFilters(variant),
  });
}

/** Health chooses among endpoints and never moves weight, and what is learnt of one holds at once, not up to a second later. */
const HEALTH_DECIDES: NonNullable<Init["commonLbConfig"]> = {
  healthyPanicThreshold: { value: 0 },
  updateMergeWindow: durationOf(0),
};

/** Marks a cluster whose endpoints may all be unwell, so that it can be told from one that has none. */
const WATCHED: NonNullable<Init["metadata"]> = { filterMetadata: { [METADATA]: { watched: true } } };

/** The backend of a rule. Where its endpoints are is said elsewhere, so that they change without it. */
export function clusterOf(ref: ClusterRef, variant: ClusterVariant): Resource {
  const name = clusterName(ref, variant);
  const { endpoints, http, tls, algorithm, policy } = ref;
  const bytes = encoded(ClusterSchema, {
    name,
    clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: { serviceName: endpoints, edsConfig: ADS },
    connectTimeout: durationOf(variant.connectTimeoutMs),
    perConnectionBufferLimitBytes: BUFFER_BYTES,
    loadBalancingPolicy: { policies: [lbPolicy(algorithm)] },
    commonLbConfig: HEALTH_DECIDES,
    circuitBreakers: limits(policy.breaker, variant),
    outlierDetection: outliers(policy.passive),
    healthChecks: checks(ref),
    typedExtensionProtocolOptions: { [HTTP_OPTIONS]: httpOptions(http, variant) },
    transportSocket: tls === undefined ? undefined : backendTlsSocket(tls, http),
    ignoreHealthOnHostRemoval: true,
    metadata: policy.active === undefined && policy.passive === undefined ? undefined : WATCHED,
  });
  return resourceOf("Cluster", name, bytes, [idOf("ClusterLoadAssignment", endpoints)]);
}

/** Requests go to the first of these that has anybody. */
export function fallbackCluster(name: string, clusters: readonly string[]): Resource {
  const bytes = encoded(ClusterSchema, {
    name,
    clusterDiscoveryType: {
      case: "clusterType",
      value: {
        name: "envoy.clusters.aggregate",
        typedConfig: packed(AggregateClusterSchema, { clusters: [...clusters] }),
      },
    },
    lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
    commonLbConfig: HEALTH_DECIDES,
  });
  return resourceOf(
    "Cluster",
    name,
    bytes,
    clusters.map((one) => idOf("Cluster", one)),
  );
}
