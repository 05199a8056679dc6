import { displayName } from "../api/keys.ts";
import type { GatewayObserver } from "../proxy/gateway-context.ts";
import type { RequestRecord } from "../proxy/request-record.ts";
import type { AccessEntry, AccessLog } from "../telemetry/access-log.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";

const failed = ({ reason, downstream: { status } }: RequestRecord): boolean => reason !== undefined || status >= 500;

function entryOf(record: RequestRecord, seconds: number): AccessEntry {
  const { downstream, request, requestId, client, rule, backend, endpoint, reason, tries, bytesIn, bytesOut } = record;
  const { head, via, peer, status } = downstream;
  const userAgent = request?.header("user-agent");
  return {
    protocol: `HTTP/${head.version}`,
    method: head.method,
    authority: request?.authority ?? "",
    path: request?.path ?? head.target.replace(/\?.*$/, ""),
    status,
    durationMs: Math.round(seconds * 1e6) / 1e3,
    bytesIn,
    bytesOut: bytesOut + downstream.answeredBytes,
    client: client ?? peer,
    listener: via.socket,
    ...(userAgent === undefined ? {} : { userAgent }),
    ...(requestId === undefined ? {} : { requestId }),
    ...(rule === undefined ? {} : { route: displayName(rule.route), rule: rule.name }),
    ...(backend === undefined ? {} : { backend }),
    ...(endpoint === undefined ? {} : { endpoint, tries }),
    ...(reason === undefined ? {} : { reason }),
  };
}

/** Turns what the gateway tells of its work into metrics and lines of the access log. */
export function gatewayObserver(metrics: Metrics, log: Logger, accessLog: AccessLog | undefined): GatewayObserver {
  const { requests } = metrics;
  return {
    failure: (reason) => requests.gatewayAnswer(reason),
    retry: () => requests.retried(),
    endpointHealth: (change) => requests.endpointHealth(change),
    connection: (outcome) => requests.connection(outcome),
    connectionRejected: () => requests.connectionRejected(),
    defect: (error) => log.error({ err: error }, "a request could not be served; this is a defect of the gateway"),
    answered: (record) => {
      const seconds = (performance.now() - record.started) / 1000;
      const { rule, backend = "", downstream } = record;
      requests.answered(downstream.status, seconds);
      if (rule !== undefined)
        requests.routed({ route: displayName(rule.route), rule: rule.name, backend }, downstream.status, seconds);
      if (accessLog?.wants(failed(record)) === true) accessLog.write(entryOf(record, seconds));
    },
  };
}
