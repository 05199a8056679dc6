import { displayName } from "../api/keys.ts";
import type { GatewayObserver } from "../proxy/gateway-context.ts";
import type { RequestRecord } from "../proxy/request-record.ts";
import type { AccessEntry, AccessLog } from "../telemetry/access-log.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { RouteTable, RoutingTableView, RouteKey } from "../routing/routing-table.ts";
import { receiversOf } from "../routing/rule.ts";
import type { RequestMetrics, ServedBy } from "../telemetry/request-metrics.ts";

const failed = ({ reason, downstream: { status } }: RequestRecord): boolean => reason !== undefined || status >= 500;

/** Of a target that was refused: without what may hold a credential. */
const pathOf = (target: string): string =>
  /^(?:[a-z][a-z0-9+.-]*:\/\/[^/?#]*)?(\/[^?#]*)/i.exec(target)?.[1] ?? (target === "*" ? target : "");

function entryOf(record: RequestRecord, seconds: number): AccessEntry {
  const { downstream, request, requestId, client, rule, backend, endpoint, reason, tries, trace, bytesIn, bytesOut } =
    record;
  const { head, via, peer, status } = downstream;
  return {
    protocol: head.version === "" ? "" : `HTTP/${head.version}`,
    method: head.method,
    authority: request?.authority ?? "",
    path: request?.path ?? pathOf(head.target),
    status,
    durationMs: Math.round(seconds * 1e6) / 1e3,
    bytesIn,
    bytesOut: bytesOut + downstream.answeredBytes,
    client: client ?? peer,
    listener: via.socket,
    userAgent: request?.header("user-agent"),
    traceId: trace?.traceId,
    requestId,
    route: rule === undefined ? undefined : displayName(rule.route),
    rule: rule?.name,
    backend,
    endpoint,
    tries: endpoint === undefined ? undefined : tries,
    reason,
  };
}

/** Turns what the gateway tells of its work into metrics and lines of the access log. */
export function gatewayObserver(
  requests: RequestMetrics,
  table: RoutingTableView,
  log: Logger,
  accessLog: AccessLog | undefined,
): GatewayObserver {
  return {
    failure: (reason) => requests.gatewayAnswer(reason),
    retry: () => requests.retried(),
    endpointHealth: (change) => requests.endpointHealth(change),
    connection: (outcome) => requests.connection(outcome),
    session: (outcome) => requests.session(outcome),
    connectionRejected: () => requests.connectionRejected(),
    defect: (error) => log.error({ err: error }, "a request could not be served; this is a defect of the gateway"),
    answered: (record) => {
      const seconds = (performance.now() - record.started) / 1000;
      const { rule, backend = "", downstream } = record;
      requests.answered(downstream.status, seconds);
      if (rule !== undefined)
        requests.routed(
          { route: displayName(rule.route), rule: rule.name, backend },
          downstream.status,
          seconds,
          (by) => servedBy(table.routes.get(rule.route))(by),
        );
      if (accessLog?.wants(failed(record)) === true) accessLog.write(entryOf(record, seconds));
    },
  };
}

/** Whether a route still has the rule, with the backend, that a series is of. */
function servedBy(table: RouteTable | undefined): (by: ServedBy) => boolean {
  return ({ rule, backend }) =>
    table?.entries.some(
      ({ rule: { name, action } }) =>
        name === rule &&
        (backend === "" ||
          (action.kind === "forward" &&
            receiversOf(action).some(({ target }) => target.kind === "cluster" && target.endpoints === backend))),
    ) ?? false;
}

interface Series {
  keepOnly(route: string, isServed: (by: ServedBy) => boolean): void;
}

/** These routes have changed: series of what they no longer have go. */
export function forgetSeries(series: Series, { routes }: RoutingTableView, changed: Iterable<RouteKey>): void {
  for (const key of changed) series.keepOnly(displayName(key), servedBy(routes.get(key)));
}
