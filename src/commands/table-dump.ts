import { isDeepStrictEqual } from "node:util";
import { describeMatch } from "../routing/explain.ts";
import type { RoutingTableView } from "../routing/routing-table.ts";
import type { ClusterRef, RouteRule, RuleAction } from "../routing/rule.ts";
import { isRegex } from "../routing/regex.ts";
import { compareText } from "../routing/precedence.ts";
import { NO_FILTERS } from "../translate/filters.ts";
import { DEFAULT_POLICY } from "../translate/policies.ts";

/** The routing table as people and golden files read it: every list in order, no secrets. */
export function tableDump(table: RoutingTableView): object {
  const listeners = [...table.listeners.values()].sort((a, b) => compareText(a.id, b.id));
  return {
    listeners: listeners.map(({ id, address, port, bindPort, protocol, hostname, certificates }) => ({
      id,
      socket: `${address}:${bindPort}`,
      ...(port === bindPort ? {} : { port }),
      protocol,
      hostname,
      ...(certificates.length === 0
        ? {}
        : { certificates: certificates.map(({ secret, names }) => ({ secret, names })) }),
    })),
    hosts: Object.fromEntries(listeners.map(({ id }) => [id, hostsOf(table, id)])),
    endpoints: Object.fromEntries(
      [...table.endpoints.values()]
        .sort((a, b) => compareText(a.key, b.key))
        .map(({ key, usable, ready, draining, total }) => [
          key,
          { usable: usable.map(({ address, port }) => `${address}:${port}`), ready, draining, total },
        ]),
    ),
  };
}

function hostsOf(table: RoutingTableView, listener: Parameters<RoutingTableView["virtualHost"]>[0]): object {
  const names = new Set(
    [...table.routes.values()].flatMap(({ placements }) =>
      placements.filter((p) => p.listener === listener).flatMap((p) => p.hostnames),
    ),
  );
  return Object.fromEntries(
    [...names].sort(compareText).map((hostname) => {
      const entries = table.virtualHost(listener, hostname)?.host.entries() ?? [];
      return [
        hostname,
        entries.map(({ match, rule }) => ({
          match: describeMatch(match),
          ...ruleOf(rule),
        })),
      ];
    }),
  );
}

/** Without what is as it is by default, so that what differs is seen. */
function ruleOf({ route, name, action, filters, policy }: RouteRule): object {
  return {
    route,
    rule: name,
    action: actionOf(action),
    ...different("filters", filters, NO_FILTERS),
    ...different("policy", policy, DEFAULT_POLICY),
  };
}

function different(name: string, value: object, usual: object): object {
  const defaults = new Map(Object.entries(usual));
  const own = Object.entries(value).filter(([field, one]) => !isDeepStrictEqual(one, defaults.get(field)));
  return own.length === 0 ? {} : { [name]: Object.fromEntries(own.map(([field, one]) => [field, plain(one)])) };
}

/** Patterns by their source; backends by their endpoints. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  if (isRegex(value)) return value.source;
  return Object.fromEntries(Object.entries(value).map(([field, one]) => [field, plain(one)]));
}

function actionOf(action: RuleAction): unknown {
  if (action.kind === "fail") return { kind: action.kind, reason: action.reason, message: action.message };
  if (action.kind !== "forward") return plain(action);
  return {
    kind: action.kind,
    ...(action.redistribute ? { redistribute: true } : {}),
    backends: action.backends.map(({ target, weight, filters }) => ({
      weight,
      ...(target.kind === "cluster" ? clusterOf(target) : { invalid: target.error }),
      ...different("filters", filters, NO_FILTERS),
    })),
  };
}

function clusterOf({ endpoints, state, http, tls, algorithm, policy }: ClusterRef): object {
  return {
    endpoints,
    ...(state === endpoints ? {} : { state }),
    ...(http === "1.1" ? {} : { http }),
    ...(tls === undefined ? {} : { tls }),
    ...(Object.keys(policy).length === 0 ? {} : { policy }),
    ...(algorithm === "LeastRequest" ? {} : { algorithm }),
  };
}
