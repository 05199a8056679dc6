import { z } from "zod";
import { BackendObjectRef, portRule, refShape } from "./backend-ref.ts";
import { constrain } from "./constraint.ts";
import { RouteFilters } from "./filter.ts";
import { RouteMatch } from "./match.ts";
import {
  Authentication,
  Authorization,
  CircuitBreaker,
  Compression,
  Fault,
  HealthCheck,
  LoadBalancing,
  RateLimits,
  Retry,
  SessionPersistence,
  Timeouts,
} from "./policy.ts";
import { ByteQuantity, SectionName, quantityBytes } from "./primitives.ts";

const GIBIBYTE = 1024 ** 3;

export const BackendRef = constrain(
  z.strictObject({
    ...refShape,
    weight: z
      .int()
      .min(0)
      .max(1_000_000)
      .optional()
      .describe("Share of this rule's requests: weight / sum of weights. Not a percentage. Default: 1."),
    filters: RouteFilters.optional().describe("Filters for requests that go to this backend only."),
  }),
  portRule,
);
export type BackendRef = z.output<typeof BackendRef>;

/** What a rule may set and `spec.defaults` may set for all rules. */
const policyShape = {
  filters: RouteFilters.optional().describe(
    "What happens to a request between match and backend. The order of work is fixed whatever the order of this list.",
  ),
  timeouts: Timeouts.optional().describe("Time limits."),
  retry: Retry.optional().describe(
    "Tries a failed request again, on another endpoint if there is one. Without it only a connection that could not be opened is retried, once.",
  ),
  sessionPersistence: SessionPersistence.optional().describe("Keeps a client on one endpoint."),
  loadBalancing: LoadBalancing.optional().describe("How endpoints are chosen."),
  healthCheck: HealthCheck.optional().describe("Finds and avoids bad endpoints."),
  circuitBreaker: CircuitBreaker.optional().describe("Limits what one backend is given at once."),
  whenNoEndpoints: z
    .enum(["Fail", "Redistribute"])
    .optional()
    .describe(
      "What becomes of the share of a valid backend without usable endpoints: 503 (Fail) or given to the others. Default: Fail.",
    ),
  rateLimits: RateLimits.optional().describe("Limits on requests per time."),
  fault: Fault.optional().describe("Injects delays and errors, to test clients."),
  authentication: Authentication.optional().describe("Who the client is."),
  authorization: Authorization.optional().describe("What the client may do."),
  compression: Compression.optional().describe("Compresses responses."),
  maxRequestBody: constrain(ByteQuantity, {
    rule: "quantity(self).isGreaterThan(quantity('0')) && !quantity(self).isGreaterThan(quantity('1Gi'))",
    message: "maxRequestBody must be between 1 and 1Gi",
    ok: (size) => quantityBytes(size) >= 1 && quantityBytes(size) <= GIBIBYTE,
  })
    .optional()
    .describe("Longest request body, 1 to 1Gi; a longer one gets 413. Absent: no limit."),
  fallback: z
    .strictObject({ backendRef: BackendObjectRef })
    .optional()
    .describe("Serves what would have been 503 for want of endpoints."),
};

export const RuleDefaults = z.strictObject(policyShape);
export type RuleDefaults = z.output<typeof RuleDefaults>;

const hasType = (filters: readonly { type: string }[] | undefined, types: readonly string[]): boolean =>
  filters?.some((filter) => types.includes(filter.type)) ?? false;

const replacesPrefix = (filters: readonly z.output<typeof RouteFilters>[number][] | undefined): boolean =>
  filters?.some(
    (f) => f.requestRedirect?.path?.type === "ReplacePrefixMatch" || f.urlRewrite?.path?.type === "ReplacePrefixMatch",
  ) ?? false;

export const RouteRule = constrain(
  z.strictObject({
    name: SectionName.optional().describe("Names the rule in status and metrics. Unique in the route."),
    matches: z.array(RouteMatch).max(64).optional().describe("Any of these must match. Default: every request."),
    backendRefs: z.array(BackendRef).max(16).optional().describe("Where requests go, by weight."),
    ...policyShape,
  }),
  {
    rule: "!has(self.backendRefs) || size(self.backendRefs) == 0 || !has(self.filters) || !self.filters.exists(f, f.type in ['RequestRedirect', 'DirectResponse'])",
    message: "RequestRedirect and DirectResponse must not be used together with backendRefs",
    ok: (rule) =>
      (rule.backendRefs ?? []).length === 0 || !hasType(rule.filters, ["RequestRedirect", "DirectResponse"]),
  },
  {
    rule: "!has(self.filters) || !self.filters.exists(f, (has(f.requestRedirect) && has(f.requestRedirect.path) && f.requestRedirect.path.type == 'ReplacePrefixMatch') || (has(f.urlRewrite) && has(f.urlRewrite.path) && f.urlRewrite.path.type == 'ReplacePrefixMatch')) || !has(self.matches) || self.matches.all(m, !has(m.grpc) && (!has(m.path) || !has(m.path.type) || m.path.type == 'PathPrefix'))",
    message: "ReplacePrefixMatch needs every match to be a PathPrefix",
    ok: (rule) =>
      !(replacesPrefix(rule.filters) || rule.backendRefs?.some((ref) => replacesPrefix(ref.filters))) ||
      (rule.matches ?? []).every((m) => m.grpc === undefined && (m.path?.type ?? "PathPrefix") === "PathPrefix"),
  },
);
export type RouteRule = z.output<typeof RouteRule>;
