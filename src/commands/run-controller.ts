import { accessSync } from "node:fs";
import { KubeConfig } from "@kubernetes/client-node";
import { ApiClient } from "../kube/api-client.ts";
import { Backoff, pause } from "../kube/backoff.ts";
import { asKubeError } from "../kube/kube-error.ts";
import { gatewayFor } from "./data-plane.ts";
import { servingWarning } from "./serving-flags.ts";
import { type LastGood, readLastGood, restore } from "../sources/last-good/last-good.ts";
import { createLogger, openStdout, type Logger } from "../telemetry/logger.ts";
import { Metrics } from "../telemetry/metrics.ts";
import { Cluster, type ClusterFlags } from "./cluster.ts";
import { openEndpoints } from "./endpoints.ts";
import { CommandError } from "./exit.ts";
import { type GatewayFlags, translateOptions } from "./gateway-flags.ts";
import { leave } from "./leave.ts";

export interface ControllerFlags extends GatewayFlags, ClusterFlags {
  readonly kubeconfig?: string;
}

/** How long the API server may be silent before the last good table is served instead. */
const PATIENCE_MS = 3000;

/** What the client library makes of no configuration at all. */
const NOWHERE = "http://localhost:8080";

function loadConfig(file: string | undefined): KubeConfig {
  const config = new KubeConfig();
  try {
    if (file === undefined) config.loadFromDefault();
    else config.loadFromFile(file);
    const [cluster, user] = [config.getCurrentCluster(), config.getCurrentUser()];
    for (const named of [cluster?.caFile, user?.certFile, user?.keyFile]) if (named !== undefined) accessSync(named);
  } catch (error) {
    throw new CommandError(
      `the kubeconfig cannot be read: ${(error as Error).message}; give another with --kubeconfig`,
    );
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null)
    throw new CommandError("the kubeconfig has no current context; choose one with kubectl config use-context");
  if (file === undefined && cluster.server === NOWHERE)
    throw new CommandError(
      "there is no kubeconfig; give one with --kubeconfig or KUBECONFIG, or run inside of a cluster",
    );
  // As kubectl does: behind `kubectl proxy` there is no TLS to verify, which the client library wants to be told.
  if (cluster.server.startsWith("http://"))
    config.clusters = config.clusters.map((one) => (one === cluster ? { ...one, skipTLSVerify: true } : one));
  return config;
}

const CLASSES = "/apis/gateway.networking.k8s.io/v1/gatewayclasses";

/**
 * Asked at start-up, until there is an answer: whether Gateways of ours can exist decides whether the built-in gateway
 * is on. With rights in one namespace alone no GatewayClass can be seen, and so no Gateway be known as ours.
 */
async function canHaveGateways(
  client: ApiClient,
  { namespace }: ControllerFlags,
  log: Logger,
  signal: AbortSignal,
): Promise<boolean> {
  const backoff = new Backoff(Math.random);
  for (;;) {
    try {
      await client.json({ method: "GET", path: CLASSES, query: { limit: "1" }, signal });
      return true;
    } catch (error) {
      const { code, message } = asKubeError(error);
      if (code === "notFound") return false;
      if (code === "forbidden") return namespace === undefined;
      if (signal.aborted) return true;
      log.warn({ err: message }, "waiting for the API server");
      await backoff.wait(signal);
    }
  }
}

/** What was last served, if the operator keeps it and it can be used. */
function lastGoodOf(
  { lastGoodFile, lastGoodMaxAge }: ControllerFlags,
  log: Logger,
): Extract<LastGood, { ok: true }> | undefined {
  if (lastGoodFile === undefined) return undefined;
  const found = readLastGood(lastGoodFile, lastGoodMaxAge, Date.now());
  if (found.ok) return found;
  log.info({ problem: found.problem }, "no last good table to start from");
  return undefined;
}

/** Runs until `signal` aborts: reads the cluster, serves traffic, and, as the leader, writes statuses. */
export async function runController(flags: ControllerFlags, signal: AbortSignal): Promise<void> {
  if (flags.dataPlane === "envoy" && flags.leaderElect)
    throw new CommandError(
      "--leader-elect: a leader does not know of other replicas' Envoys yet; run one replica with --data-plane envoy",
      2,
    );
  const metrics = new Metrics();
  const stdout = openStdout({ dropped: () => metrics.requests.logLineDropped(), isShared: flags.gatewayWorkers > 0 });
  const log = createLogger(flags.logLevel, stdout);
  const client = new ApiClient(loadConfig(flags.kubeconfig));
  const { gateway, proxies, start, close } = await gatewayFor(flags, { log, stdout, metrics });
  const started: { cluster?: Cluster } = {};
  const notReady = (): string => {
    const { cluster } = started;
    if (signal.aborted) return "shutting down";
    if (cluster?.engine.controller.isLive === true) return cluster.notReady();
    return `waiting for ${cluster === undefined ? "the API server" : `the first list of ${cluster.source.waitingFor()}`}`;
  };
  const endpoints = await openEndpoints(
    { engineOf: () => started.cluster?.engine, statusOf: (key) => started.cluster?.statusOf(key) },
    flags,
    metrics,
    { notReady },
  );
  log.info({ server: client.server, replica: flags.replicaName, namespace: flags.namespace ?? "all" }, "starting");
  const warning = servingWarning(flags);
  if (warning !== undefined) log.warn(warning);
  const lastGood = lastGoodOf(flags, log);
  const remembered = lastGood === undefined ? [] : [pause(PATIENCE_MS, signal).then(() => lastGood.builtin)];
  const asked = canHaveGateways(client, flags, log, signal).then((can) => !can);
  const builtin = flags.builtinGateway ?? (await Promise.race([asked, ...remembered]));
  const { gatewayServices } = flags;
  const options = {
    ...translateOptions(flags, { builtin, classByName: false, allowLoopback: false }),
    gatewayServices,
  };
  const stop = new AbortController();
  const cluster = new Cluster({
    client,
    log,
    gateway,
    proxies,
    metrics,
    options,
    flags,
    signal: stop.signal,
  });
  started.cluster = cluster;
  await start();
  await serveCluster({ cluster, flags, log, metrics, signal, stop }, lastGood);
  await Promise.all([close(), ...endpoints.map((endpoint) => endpoint.close())]);
  leave();
}

interface Run {
  readonly cluster: Cluster;
  readonly flags: ControllerFlags;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly signal: AbortSignal;
  readonly stop: AbortController;
}

/** From the first list to the last answer. Reading goes on while requests drain; leading ends at once. */
async function serveCluster(
  { cluster, flags, log, metrics, signal, stop }: Run,
  lastGood: Extract<LastGood, { ok: true }> | undefined,
): Promise<void> {
  const { engine, replicas } = cluster;
  const running = cluster.start(stop.signal, signal);
  const ended = Promise.race([aborted(signal), running]).then(() => "ended" as const);
  const synced = cluster.synced(signal).then(() => "synced" as const);
  let first = await Promise.race([
    synced,
    ended,
    ...(lastGood === undefined ? [] : [pause(PATIENCE_MS, signal).then(() => "stale" as const)]),
  ]);
  if (first === "stale" && lastGood !== undefined) {
    restore(engine.store, lastGood.objects, cluster.source.unlisted);
    engine.controller.open();
    metrics.tableStale(true);
    log.warn(
      { ageSeconds: lastGood.ageSeconds, routes: engine.translator.table.routes.size },
      "the API server does not answer: serving the last good table",
    );
    first = await Promise.race([synced, ended]);
  }
  if (first === "synced") {
    engine.controller.open();
    replicas?.synced();
    metrics.tableStale(false);
    log.info({ routes: engine.translator.table.routes.size }, "the first table is live");
    await ended;
  }
  log.info({ limitSeconds: flags.drainTimeout }, "draining");
  await engine.gateway.drain(flags.drainTimeout * 1000);
  stop.abort();
  await Promise.all([running, cluster.close()]);
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
