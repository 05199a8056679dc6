import { randomBytes, randomUUID } from "node:crypto";
import type { Key } from "../api/keys.ts";
import type { DataPlane } from "../controller/controller.ts";
import { EmbeddedGateway } from "../proxy/embedded-gateway.ts";
import type { GatewayOptions } from "../proxy/gateway-context.ts";
import type { Tracer } from "../proxy/request-record.ts";
import type { ListenerId } from "../routing/listener.ts";
import type { ListenerState, Served } from "../routing/programmed.ts";
import type { RouteKey, RoutingTableView } from "../routing/routing-table.ts";
import type { AccessLog } from "../telemetry/access-log.ts";
import type { DestinationStream, Logger } from "../telemetry/logger.ts";
import { MergedRequests } from "../telemetry/merged-requests.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { WorkerPool } from "../workers/worker-pool.ts";
import { CommandError } from "./exit.ts";
import { forkWorker } from "./fork-worker.ts";
import type { GatewayFlags } from "./gateway-flags.ts";
import { gatewayObserver } from "./gateway-observer.ts";
import { probePort } from "./probe-port.ts";
import { type ServingFlags, accessLogOf, servingOptions } from "./serving-flags.ts";
import { checkTracing, tracingOf } from "./tracing.ts";

/** A data plane as commands run it: in this process, or in several others. */
export interface Gateway extends DataPlane {
  /** Whether proxies that come and go serve the traffic, and this process none. */
  readonly isRemote?: boolean;
  /** Why it can serve nobody; empty: it can. */
  problem(): string;
  /** Lets requests in flight end, for at most `limitMs`. */
  drain(limitMs: number): Promise<void>;
}

/** Bytes. @source Node's tls.Server, `ticketKeys`. */
const TICKET_KEYS = 48;
/** Connections of a worker, below which what is left over with one cannot be given to another in time. */
const FEWEST = 8;

export interface GatewayEvents {
  readonly listenerState: (id: ListenerId, state: ListenerState | undefined) => void;
  /** Of a data plane that counts proxies: how many of each Gateway's serve a route as it was published last. */
  readonly routeServed: (key: RouteKey, byGateway: ReadonlyMap<Key<"Gateway">, Served>) => void;
}
export type GatewayFactory = (table: RoutingTableView, events: GatewayEvents) => Gateway;

interface HereParts {
  readonly serving: GatewayOptions;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Absent: requests are not logged. */
  readonly accessLog?: AccessLog | undefined;
  /** Absent: requests are not followed. */
  readonly tracer?: Tracer | undefined;
}

/** Serves in this process. */
export const gatewayHere =
  ({ serving, log, metrics, accessLog, tracer }: HereParts): GatewayFactory =>
  (table, { listenerState: onListenerState }) => {
    const observe = gatewayObserver(metrics.requests, table, log, accessLog);
    const gateway = new EmbeddedGateway(table, { ...serving, observe, random: Math.random, tracer, onListenerState });
    metrics.requests.countClients(gateway);
    return gateway;
  };

export type WorkerFlags = ServingFlags & Pick<GatewayFlags, "logLevel" | "drainTimeout">;

/** Serves in worker processes. */
export const gatewayInWorkers =
  (flags: WorkerFlags, log: Logger, metrics: Metrics): GatewayFactory =>
  (table, { listenerState: onListenerState }) => {
    const requests = new MergedRequests();
    const identity = randomUUID();
    const ticketKeys = randomBytes(TICKET_KEYS);
    const { gatewayWorkers: workers, logLevel, drainTimeout } = flags;
    const settings = { workers, flags, logLevel, drainMs: drainTimeout * 1000, identity, ticketKeys };
    const pool = new WorkerPool({
      count: workers,
      table,
      maxConnections: servingOptions(flags).maxConnections,
      log,
      requests,
      spawn: (worker, events) => forkWorker({ worker, ...settings }, events),
      probe: probePort,
      onListenerState,
      onRestart: () => metrics.workerRestarted(),
    });
    metrics.serveElsewhere(requests, async () => pool.collectMetrics());
    return pool;
  };

/** How a command gets its data plane, and what is to be done at the start and at the end. */
export interface ChosenGateway {
  readonly gateway: GatewayFactory;
  /** Whether proxies count for Programmed, and not replicas. */
  readonly proxies: boolean;
  /** Once there is a gateway. */
  readonly start: () => Promise<void>;
  readonly close: () => Promise<void>;
}

interface CommandParts {
  readonly log: Logger;
  readonly stdout: DestinationStream;
  readonly metrics: Metrics;
}

const nothing = async (): Promise<void> => Promise.resolve();

/** As the flags and the environment want it. */
export async function gatewayFor(flags: WorkerFlags, parts: CommandParts): Promise<ChosenGateway> {
  const { log, stdout, metrics } = parts;
  const { gatewayWorkers: workers, maxConnections } = flags;
  if (flags.dataPlane === "envoy") {
    // gRPC and Envoy's API are large; only who programs Envoys pays for them.
    const { gatewayByEnvoys } = await import("./envoy-gateway.ts");
    return gatewayByEnvoys(flags, log);
  }
  const here = { proxies: false, start: nothing };
  if (workers > 0) {
    if (maxConnections > 0 && maxConnections < workers * FEWEST)
      throw new CommandError(`--max-connections is for all workers: ${workers} of them need ${workers * FEWEST}`, 2);
    checkTracing(process.env);
    return { ...here, gateway: gatewayInWorkers(flags, log, metrics), close: nothing };
  }
  const tracing = await tracingOf(process.env, log);
  const serving = servingOptions(flags);
  return {
    ...here,
    gateway: gatewayHere({ serving, log, metrics, accessLog: accessLogOf(flags, stdout), tracer: tracing.tracer }),
    close: async () => tracing.close(),
  };
}
