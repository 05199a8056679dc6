import type { ReasonWord } from "./rule.ts";

/** Names the reason of an answer that the gateway made itself, where the operator wants that. */
export const REASON_HEADER = "x-serviceroute-reason";

/** The one table of failure → status. Each word is also a metric label and a log field. */
export const STATUS_OF: Readonly<Record<ReasonWord, number>> = {
  NoRoute: 404,
  InvalidRule: 500,
  PatternLimit: 500,
  InvalidBackend: 500,
  NoBackends: 500,
  NoEndpoints: 503,
  NoHealthyEndpoints: 503,
  CircuitOpen: 503,
  Overloaded: 503,
  LoopDetected: 508,
  ConnectFailure: 503,
  Reset: 503,
  BadResponse: 502,
  RequestTimeout: 504,
  BackendTimeout: 504,
  IdleTimeout: 504,
  BodyTooLarge: 413,
  BadRequest: 400,
  MisdirectedRequest: 421,
  NotImplemented: 501,
  InternalError: 500,
};

/** Names the route and rule of an answer, where the operator wants that. */
export const ROUTE_HEADER = "x-serviceroute-route";

/** Who has made copies of a request. A copy that comes back, because a mirror leads to the gateway, is not copied again. */
export const MIRRORED_BY = "x-serviceroute-mirrored-by";

/** How often a request has passed a gateway of ours. A route may lead back to it, which nobody notices but by this. */
export const HOPS_HEADER = "x-serviceroute-hops";
/** Gateways in a row are rarely more than three; a loop ends here. */
export const MOST_HOPS = 10;
