/** Ejects endpoints that fail on requests. @source Envoy's outlier detection. */
export interface PassiveHealth {
  readonly consecutive5xx: number;
  /** Milliseconds after which a time of ejection that was not followed by another is forgiven. */
  readonly intervalMs: number;
  /** Milliseconds of the first ejection; the next one lasts twice as long, and so on. */
  readonly ejectionTimeMs: number;
  /** Of all endpoints, 0..100; one may always be ejected. */
  readonly maxEjectionPercent: number;
}

/** Asks endpoints whether they are well. */
export interface ActiveHealth {
  readonly type: "HTTP" | "GRPC" | "TCP";
  readonly path: string;
  readonly intervalMs: number;
}

/** What one backend is given at once, in each proxy process. */
export interface CircuitBreaker {
  readonly maxConnections: number;
  /** Requests that wait for a connection. */
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
}

/** Policies whose state belongs to a backend. Absent ones are not applied. */
export interface ClusterPolicy {
  readonly passive?: PassiveHealth;
  readonly active?: ActiveHealth;
  readonly breaker?: CircuitBreaker;
}
