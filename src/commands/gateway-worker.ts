/** A process that serves a table which another one makes: the child that {@link forkWorker} starts. */
import { once } from "node:events";
import { EmbeddedGateway } from "../proxy/embedded-gateway.ts";
import type { TableDiff } from "../routing/routing-table.ts";
import { RoutingTable } from "../routing/routing-table.ts";
import { createLogger, openStdout } from "../telemetry/logger.ts";
import { WorkerMetrics } from "../telemetry/worker-metrics.ts";
import type { FromWorker, ToWorker } from "../workers/messages.ts";
import { TableFollower } from "../workers/table-follower.ts";
import { forgetSeries, gatewayObserver } from "./gateway-observer.ts";
import { leave } from "./leave.ts";
import { accessLogOf, servingOptions } from "./serving-flags.ts";
import { tracingOf } from "./tracing.ts";
import type { WorkerSettings } from "./worker-settings.ts";

const LOOK_MS = 100;
const LONGEST_SILENCE_MS = 1000;
const MOST_UNSENT = 1000;

/** Messages that the other side has not taken yet. */
let unsent = 0;
const send = (message: FromWorker): void => {
  if (!process.connected) return;
  unsent++;
  process.send?.(message, undefined, undefined, () => unsent--);
};
/** For what is told again, or helps nobody when it comes late: while nobody listens it must not pile up. */
const sendOrDrop = (message: FromWorker): void => {
  if (unsent < MOST_UNSENT) send(message);
};

// Whoever started us says when to end: a terminal and a pod tell all processes at once.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => undefined);

const [settings] = (await once(process, "message")) as [WorkerSettings];
const metrics = new WorkerMetrics(settings.worker);
const stdout = openStdout({ dropped: () => metrics.requests.logLineDropped(), isShared: true });
const log = createLogger(settings.logLevel, stdout).child({ worker: settings.worker });
const tracing = await tracingOf(process.env, log);
const options = servingOptions(settings.flags);
const table = new RoutingTable();
const claims = new Map<string, (problem: string | undefined) => void>();
let version = 0;
let allowance = { most: Infinity, turn: 0 };
let isDraining = false;

const gateway = new EmbeddedGateway(table, {
  ...options,
  maxConnections: Math.ceil(options.maxConnections / settings.workers),
  observe: gatewayObserver(metrics.requests, table, log, accessLogOf(settings.flags, stdout)),
  random: Math.random,
  tracer: tracing.tracer,
  identity: settings.identity,
  processes: settings.workers,
  ticketKeys: Buffer.from(settings.ticketKeys),
  tell: (news) => sendOrDrop({ kind: "news", news }),
  ports: {
    claim: async (socket) =>
      new Promise((resolve) => {
        claims.set(socket, resolve);
        send({ kind: "claim", socket });
      }),
    release: (socket) => send({ kind: "release", socket }),
  },
  onListenerState: (id, state) => send({ kind: "listener", version, id, state }),
});
// Until it is told how many it may have.
if (options.maxConnections > 0) gateway.allowConnections(0);
metrics.requests.countClients(gateway);

const follower = new TableFollower(table, (diff: TableDiff, applied: number) => {
  version = applied;
  forgetSeries(metrics.requests, table, diff.routes.keys());
  try {
    gateway.publish(diff);
  } catch (error) {
    // A defect of ours: ending would only begin it again, in every worker.
    log.error({ err: error }, "the data plane could not follow a change");
  }
  send({ kind: "served", version });
});

async function drain(limitMs: number): Promise<void> {
  if (isDraining) return;
  isDraining = true;
  clearInterval(beating);
  await gateway.drain(limitMs);
  await tracing.close();
  // Others print into the same socket still, and kill who cannot end.
  leave(() => process.exit());
  process.off("disconnect", alone);
  if (process.connected) process.disconnect();
}

function heard(message: ToWorker): void {
  switch (message.kind) {
    case "table":
      return follower.read(message.bytes, message.version);
    case "claimed":
      claims.get(message.socket)?.(message.problem);
      return void claims.delete(message.socket);
    case "allowance":
      allowance = { most: gateway.allowConnections(message.most), turn: message.turn };
      return beat();
    case "askMetrics":
      return void metrics.series().then((series) => send({ kind: "metrics", id: message.id, series }));
    case "news":
      return gateway.heard(message.from, message.news);
    case "gone":
      return gateway.forget(message.worker);
    case "drain":
      return void drain(message.limitMs);
    default:
      return message satisfies never;
  }
}

let said = { connections: 0, at: 0 };
function beat(): void {
  said = { connections: gateway.connections, at: performance.now() };
  send({ kind: "beat", connections: gateway.connections, ...allowance });
}

const beating = setInterval(() => {
  if (gateway.connections !== said.connections || performance.now() - said.at >= LONGEST_SILENCE_MS) beat();
}, LOOK_MS);

// What has come since the first message has waited for somebody who listens.
process.on("message", heard);
function alone(): void {
  // Told to end already, and now nobody waits for that any more: a second signal.
  if (isDraining) process.exit();
  log.warn("the process that makes the table is gone: draining");
  void drain(settings.drainMs);
}
process.once("disconnect", alone);
if (!process.connected) alone();
send({ kind: "started" });
