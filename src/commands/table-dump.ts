import { describeMatch } from "../routing/explain.ts";
import type { RoutingTableView } from "../routing/routing-table.ts";
import type { RuleAction } from "../routing/rule.ts";
import { compareText } from "../routing/precedence.ts";

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
          route: rule.route,
          rule: rule.name,
          action: actionOf(rule.action),
        })),
      ];
    }),
  );
}

function actionOf(action: RuleAction): unknown {
  if (action.kind !== "forward") return action;
  return {
    kind: action.kind,
    ...(action.redistribute ? { redistribute: true } : {}),
    backends: action.backends.map(({ target, weight, filters }) => ({
      weight,
      ...(target.kind === "cluster" ? { endpoints: target.endpoints } : { invalid: target.error }),
      ...(filters.requestHeaders === undefined && filters.responseHeaders === undefined && filters.rewrite === undefined
        ? {}
        : { filters }),
    })),
  };
}
