import { z } from "zod";
import { BackendObjectRef } from "./backend-ref.ts";
import { constrain, unionRules } from "./constraint.ts";
import {
  ByteQuantity,
  Duration,
  HeaderName,
  ObjectName,
  Percent,
  SectionName,
  durationMs,
  listMap,
  listSet,
} from "./primitives.ts";

export const Timeouts = constrain(
  z.strictObject({
    request: Duration.optional().describe(
      "From the client's last byte to the end of the response, retries included. 0s or absent: none.",
    ),
    backendRequest: Duration.optional().describe("Limit of each try. 0s or absent: none."),
    idle: Duration.optional().describe("Longest time without a byte either way. Default: 5m; 0s: none."),
    connect: Duration.optional().describe("Limit for opening a connection to an endpoint. Default: 5s."),
  }),
  {
    rule: "!(has(self.request) && has(self.backendRequest) && duration(self.request) != duration('0s') && duration(self.backendRequest) > duration(self.request))",
    message: "backendRequest timeout cannot be longer than request timeout",
    ok: ({ request, backendRequest }) =>
      request === undefined ||
      backendRequest === undefined ||
      durationMs(request) === 0 ||
      durationMs(backendRequest) <= durationMs(request),
  },
);
export type Timeouts = z.output<typeof Timeouts>;

export const Retry = z.strictObject({
  codes: z
    .array(z.int().min(400).max(599))
    .max(32)
    .optional()
    .meta(listSet)
    .describe(
      "Statuses of a backend that are tried again. Connect failures, resets before the response headers and backendRequest timeouts always are.",
    ),
  attempts: z.int().min(0).max(10).optional().describe("Tries after the first one. Default: 1."),
  backoff: Duration.optional().describe("Wait before the first retry; doubles each time, with jitter. Default: 25ms."),
  budget: z
    .strictObject({
      percent: Percent.optional().describe("Retries in flight, as a share of active requests. Default: 20."),
      minConcurrent: z.int().min(0).max(1000).optional().describe("Retries always allowed in flight. Default: 3."),
    })
    .optional()
    .describe("Limits retries so that they cannot multiply an overload. When spent, the last answer is passed on."),
});
export type Retry = z.output<typeof Retry>;

const requestKeyMembers = {
  Header: "header",
  Cookie: "cookie",
  QueryParam: "queryParam",
  SourceIP: "sourceIP",
} as const;

export const RequestKey = constrain(
  z.strictObject({
    type: z.enum(["Header", "Cookie", "QueryParam", "SourceIP"]),
    header: z.strictObject({ name: HeaderName }).optional(),
    cookie: z.strictObject({ name: HeaderName, ttl: Duration.optional() }).optional(),
    queryParam: z.strictObject({ name: HeaderName }).optional(),
    sourceIP: z
      .strictObject({
        ipv4PrefixLength: z.int().min(0).max(32).optional().describe("Default: 32."),
        ipv6PrefixLength: z.int().min(0).max(128).optional().describe("Default: 64."),
      })
      .optional(),
  }),
  ...unionRules(requestKeyMembers, ["sourceIP"]),
);

export const LoadBalancing = z.strictObject({
  algorithm: z
    .enum(["RoundRobin", "LeastRequest", "Random", "RingHash", "Maglev"])
    .optional()
    .describe("How an endpoint is chosen inside one backend. Default: LeastRequest."),
  slowStart: Duration.optional().describe("Time over which a new endpoint's share grows to its full size."),
  hashOn: z.array(RequestKey).max(4).optional().describe("For RingHash and Maglev: the first key that a request has."),
});
export type LoadBalancing = z.output<typeof LoadBalancing>;

export const SessionPersistence = z.strictObject({
  type: z.enum(["Cookie", "Header"]).optional().describe("Default: Cookie."),
  sessionName: z.string().max(128).optional(),
  absoluteTimeout: Duration.optional(),
  idleTimeout: Duration.optional(),
  cookieConfig: z.strictObject({ lifetimeType: z.enum(["Permanent", "Session"]).optional() }).optional(),
  cookie: z
    .strictObject({
      name: HeaderName.optional(),
      path: z.string().max(1024).optional(),
      lifetimeType: z.enum(["Permanent", "Session"]).optional(),
    })
    .optional(),
  header: z.strictObject({ name: HeaderName }).optional(),
});

const ActiveHealthCheck = constrain(
  z.strictObject({
    type: z.enum(["HTTP", "GRPC", "TCP"]),
    http: z
      .strictObject({
        path: z
          .string()
          .min(1)
          .max(1024)
          .regex(/^\/[!-~]*$/)
          .optional(),
      })
      .optional(),
    interval: Duration.optional(),
  }),
  ...unionRules({ HTTP: "http" }),
);

export const HealthCheck = z.strictObject({
  active: ActiveHealthCheck.optional(),
  passive: z
    .strictObject({
      consecutive5xx: z.int().min(1).max(1000).optional(),
      interval: Duration.optional(),
      ejectionTime: Duration.optional(),
      maxEjectionPercent: Percent.optional(),
    })
    .optional(),
});

const Limit = z.int().min(0).max(2_147_483_647);
export const CircuitBreaker = z.strictObject({
  maxConnections: Limit.optional(),
  maxPendingRequests: Limit.optional(),
  maxRequests: Limit.optional(),
});

export const RateLimit = z.strictObject({
  name: SectionName,
  scope: z.enum(["Local"]).optional(),
  count: z.int().min(1).max(1_000_000_000),
  interval: Duration,
  burst: z.int().min(1).max(1_000_000_000).optional(),
  keys: z.array(RequestKey).max(8).optional(),
  shadow: z.boolean().optional(),
});
export const RateLimits = z.array(RateLimit).max(4).meta(listMap);

export const Fault = z.strictObject({
  delay: z.strictObject({ duration: Duration, percent: Percent }).optional(),
  abort: z.strictObject({ statusCode: z.int().min(200).max(599), percent: Percent }).optional(),
});

const SecretRef = z.strictObject({ name: ObjectName });
const JwtProvider = z.strictObject({
  name: SectionName,
  issuer: z.string().min(1).max(1024),
  audiences: z.array(z.string().min(1).max(1024)).max(16).optional(),
  jwks: constrain(
    z.strictObject({
      type: z.enum(["Remote"]),
      remote: z.strictObject({ backendRef: BackendObjectRef, path: z.string().min(1).max(1024).optional() }).optional(),
    }),
    ...unionRules({ Remote: "remote" }),
  ),
});

export const Authentication = constrain(
  z.strictObject({
    type: z.enum(["JWT", "APIKey", "Basic", "OIDC", "None"]),
    jwt: z.strictObject({ providers: z.array(JwtProvider).min(1).max(8) }).optional(),
    apiKey: z.strictObject({ secretRef: SecretRef, from: z.array(RequestKey).min(1).max(4) }).optional(),
    basic: z.strictObject({ secretRef: SecretRef, realm: z.string().min(1).max(128).optional() }).optional(),
  }),
  ...unionRules({ JWT: "jwt", APIKey: "apiKey", Basic: "basic" }),
);

export const Authorization = z.strictObject({
  defaultAction: z.enum(["Allow", "Deny"]).optional().describe("Default: Deny."),
  rules: z
    .array(
      z.strictObject({
        name: SectionName,
        action: z.enum(["Allow", "Deny"]),
        sourceCIDRs: z.array(z.string().min(1).max(64)).max(64).optional(),
        claims: z
          .array(
            z.strictObject({ name: z.string().min(1).max(256), values: z.array(z.string().max(1024)).min(1).max(64) }),
          )
          .max(16)
          .optional(),
      }),
    )
    .max(32)
    .optional(),
});

export const Compression = z.strictObject({
  algorithms: z
    .array(z.enum(["Gzip", "Brotli"]))
    .max(2)
    .optional(),
  minSize: ByteQuantity.optional(),
  contentTypes: z.array(z.string().min(1).max(128)).max(32).optional(),
});
