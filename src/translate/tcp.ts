import type { ListenerSpec } from "../api/objects.ts";
import type { RouteRule } from "../api/rule.ts";
import type { ParsedRoute } from "./parse-route.ts";

/** Whether a listener carries connections or datagrams, not requests. */
export const carriesConnections = (protocol: string): boolean => ["TCP", "TLS", "UDP"].includes(protocol);

/** Whether its clients can name a host. */
export const hasHostname = (protocol: string): boolean => protocol !== "TCP" && protocol !== "UDP";

/** Whether a listener shows a certificate of its own. */
export const terminatesTls = ({ protocol, tls }: Pick<ListenerSpec, "protocol" | "tls">): boolean =>
  protocol === "HTTPS" || (protocol === "TLS" && (tls?.mode ?? "Terminate") === "Terminate");

/** Fields of a rule that mean something to a connection. */
const MEANINGFUL: ReadonlySet<string> = new Set([
  "name",
  "matches",
  "filters",
  "backendRefs",
  "timeouts",
  "loadBalancing",
  "healthCheck",
  "circuitBreaker",
  "whenNoEndpoints",
  "fallback",
] satisfies (keyof RouteRule)[]);

const isGiven = (value: unknown): boolean => value !== undefined && !(Array.isArray(value) && value.length === 0);

/**
 * Why a route cannot stand on a listener that carries connections; undefined when it can.
 *
 * @source docs/api.md, Attachment.
 */
export function connectionProblem({ rules, defaults }: Pick<ParsedRoute, "rules" | "defaults">): string | undefined {
  const [only] = rules;
  if (only === undefined || rules.length > 1) return "rules: exactly one is served on TCP, TLS and UDP listeners";
  if (!only.ok) return undefined;
  const spec: RouteRule = { ...defaults, ...only.spec };
  const at = (field: string, what = "is not served on TCP, TLS and UDP listeners"): string =>
    `rules[0].${field} ${what}`;
  for (const [field, value] of Object.entries(spec) as [string, unknown][])
    if (isGiven(value) && !MEANINGFUL.has(field)) return at(field);
  if (isGiven(spec.matches)) return at("matches");
  if (isGiven(spec.filters)) return at("filters");
  const filtered = (spec.backendRefs ?? []).findIndex(({ filters }) => isGiven(filters));
  if (filtered >= 0) return at(`backendRefs[${filtered}].filters`);
  const limit = Object.entries(spec.timeouts ?? {}).find(
    ([name, value]) => name !== "idle" && value !== undefined,
  )?.[0];
  return limit === undefined
    ? undefined
    : at(`timeouts.${limit}`, "is not served on TCP, TLS and UDP listeners; idle is");
}
