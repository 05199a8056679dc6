import type { RefError } from "../api/condition.ts";
import type { Key } from "../api/keys.ts";
import type { BackendTls } from "./backend-tls.ts";
import type { ClusterPolicy } from "./cluster-policy.ts";
import type { EndpointsKey } from "./endpoints.ts";
import type { Regex } from "./regex.ts";

/** Why the gateway itself made an answer: one stable word for logs, metrics and the reason header. */
export type ReasonWord =
  | "NoRoute"
  | "InvalidRule"
  | "PatternLimit"
  | "InvalidBackend"
  | "NoBackends"
  | "NoEndpoints"
  | "NoHealthyEndpoints"
  | "CircuitOpen"
  | "Overloaded"
  | "LoopDetected"
  | "ConnectFailure"
  | "Reset"
  | "BadResponse"
  | "RequestTimeout"
  | "BackendTimeout"
  | "IdleTimeout"
  | "BodyTooLarge"
  | "BadRequest"
  | "MisdirectedRequest"
  | "NotImplemented"
  | "InternalError";

export type ValueMatch =
  | { readonly kind: "exact"; readonly name: string; readonly value: string }
  | { readonly kind: "regex"; readonly name: string; readonly regex: Regex };

export type PathMatch =
  | { readonly kind: "exact"; readonly value: string }
  /** `value` has no trailing `/`; the prefix `/` is the empty string. */
  | { readonly kind: "prefix"; readonly value: string }
  | { readonly kind: "regex"; readonly regex: Regex };

/** All conditions of one match, ANDed. Header names are lower-case. */
export interface RequestMatch {
  readonly path: PathMatch;
  readonly method?: string;
  readonly headers: readonly ValueMatch[];
  readonly cookies: readonly ValueMatch[];
  readonly queryParams: readonly ValueMatch[];
}

export interface HeaderChanges {
  readonly set: readonly (readonly [name: string, value: string])[];
  readonly add: readonly (readonly [name: string, value: string])[];
  readonly remove: readonly string[];
}

export type PathChange =
  | { readonly kind: "full"; readonly value: string }
  | { readonly kind: "prefix"; readonly value: string }
  | { readonly kind: "regex"; readonly regex: Regex; readonly substitution: string };

export interface Rewrite {
  readonly hostname?: string;
  readonly path?: PathChange;
}

export interface Redirect {
  readonly scheme?: "http" | "https";
  readonly hostname?: string;
  readonly path?: PathChange;
  readonly port?: number;
  readonly statusCode: number;
}

export interface Cors {
  readonly allowOrigins: readonly string[];
  readonly allowCredentials: boolean;
  readonly allowMethods: readonly string[];
  readonly allowHeaders: readonly string[];
  readonly exposeHeaders: readonly string[];
  /** Seconds. */
  readonly maxAge: number;
}

export interface Mirror {
  readonly backend: ClusterRef | InvalidRef;
  /** Share of requests copied, 0..1. */
  readonly share: number;
}

export interface Filters {
  readonly requestHeaders?: HeaderChanges;
  readonly responseHeaders?: HeaderChanges;
  readonly rewrite?: Rewrite;
  readonly cors?: Cors;
  readonly mirrors: readonly Mirror[];
}

export type Algorithm = "RoundRobin" | "LeastRequest" | "Random";
/** The version of HTTP that a backend speaks. */
export type BackendHttp = "1.1" | "2";

/** A backend that exists. `state` names what is shared: routes with equal policies share connections, budgets and rings. */
export interface ClusterRef {
  readonly kind: "cluster";
  readonly endpoints: EndpointsKey;
  readonly state: string;
  readonly http: BackendHttp;
  /** Absent: cleartext. */
  readonly tls?: BackendTls;
  readonly algorithm: Algorithm;
  readonly policy: ClusterPolicy;
}
export interface InvalidRef {
  readonly kind: "invalid";
  readonly error: RefError;
}

/** How a backendRef was written, for status and explain. */
export interface RefName {
  readonly name: string;
  readonly namespace?: string;
  readonly kind?: string;
  readonly port?: number;
}
export interface WeightedBackend {
  readonly ref: RefName;
  readonly target: ClusterRef | InvalidRef;
  readonly weight: number;
  readonly filters: Filters;
}

export type RuleAction =
  | {
      readonly kind: "forward";
      readonly backends: readonly WeightedBackend[];
      readonly redistribute: boolean;
      /** Serves what would be 503 for want of endpoints. */
      readonly fallback?: WeightedBackend;
    }
  | { readonly kind: "redirect"; readonly redirect: Redirect }
  | { readonly kind: "respond"; readonly statusCode: number; readonly body: string; readonly contentType: string }
  | {
      readonly kind: "fail";
      readonly reason: ReasonWord;
      readonly message: string;
      /** For status: those that would be asked if one of them had a weight. */
      readonly backends?: readonly WeightedBackend[];
    };

/** Everybody who may be given a request. */
export const receiversOf = ({
  backends,
  fallback,
}: Extract<RuleAction, { kind: "forward" }>): readonly WeightedBackend[] =>
  fallback === undefined ? backends : [...backends, fallback];

export interface RetryPolicy {
  readonly attempts: number;
  readonly codes: readonly number[];
  readonly backoffMs: number;
  /** Without a retry stanza only a connection that could not be opened is tried again. */
  readonly connectFailureOnly: boolean;
  readonly budgetPercent: number;
  readonly budgetMinConcurrent: number;
}

/** Times in milliseconds; 0 is no limit. */
export interface RulePolicy {
  readonly requestTimeoutMs: number;
  readonly backendTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly retry: RetryPolicy;
  /** Bytes; 0 is no limit. */
  readonly maxRequestBody: number;
}

export interface RouteRule {
  readonly route: Key<"ServiceRoute">;
  /** The rule's name, else `rules[<index>]`. */
  readonly name: string;
  readonly index: number;
  readonly action: RuleAction;
  readonly filters: Filters;
  readonly policy: RulePolicy;
}
