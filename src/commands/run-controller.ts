import { KubeConfig } from "@kubernetes/client-node";
import { ApiClient } from "../kube/api-client.ts";
import { Backoff } from "../kube/backoff.ts";
import { asKubeError } from "../kube/kube-error.ts";
import { createLogger, type Logger } from "../telemetry/logger.ts";
import { Metrics } from "../telemetry/metrics.ts";
import { Cluster, type ClusterFlags } from "./cluster.ts";
import { openEndpoints } from "./endpoints.ts";
import { CommandError } from "./exit.ts";
import { type GatewayFlags, translateOptions } from "./gateway-flags.ts";

export interface ControllerFlags extends GatewayFlags, ClusterFlags {
  readonly kubeconfig?: string;
}

function loadConfig(file: string | undefined): KubeConfig {
  const config = new KubeConfig();
  try {
    if (file === undefined) config.loadFromDefault();
    else config.loadFromFile(file);
  } catch (error) {
    throw new CommandError(
      `the kubeconfig cannot be read: ${(error as Error).message}; give another with --kubeconfig`,
    );
  }
  if (config.getCurrentCluster() === null)
    throw new CommandError("the kubeconfig has no current context; choose one with kubectl config use-context");
  return config;
}

/** Asked at start-up, until there is an answer: whether Gateways can exist decides whether the built-in gateway is on. */
async function hasGatewayApi(client: ApiClient, log: Logger, signal: AbortSignal): Promise<boolean> {
  const backoff = new Backoff(Math.random);
  for (;;) {
    try {
      await client.json({ method: "GET", path: "/apis/gateway.networking.k8s.io/v1", signal });
      return true;
    } catch (error) {
      const { code, message } = asKubeError(error);
      if (code === "notFound") return false;
      if (signal.aborted) return true;
      log.warn({ err: message }, "waiting for the API server");
      await backoff.wait(signal);
    }
  }
}

/** Runs until `signal` aborts: reads the cluster, serves traffic, and, as the leader, writes statuses. */
export async function runController(flags: ControllerFlags, signal: AbortSignal): Promise<void> {
  const log = createLogger(flags.logLevel);
  const metrics = new Metrics();
  const client = new ApiClient(loadConfig(flags.kubeconfig));
  const started: { cluster?: Cluster } = {};
  const notReady = (): string => {
    const { cluster } = started;
    if (signal.aborted) return "shutting down";
    if (cluster?.engine.controller.isLive === true) return "";
    return `waiting for ${cluster === undefined ? "the API server" : `the first list of ${cluster.source.waitingFor()}`}`;
  };
  const endpoints = await openEndpoints(
    { engineOf: () => started.cluster?.engine, statusOf: (key) => started.cluster?.statusOf(key) },
    flags,
    metrics,
    { notReady },
  );
  log.info({ server: client.server, replica: flags.replicaName, namespace: flags.namespace ?? "all" }, "starting");
  const builtin = flags.builtinGateway ?? !(await hasGatewayApi(client, log, signal));
  const options = translateOptions(flags, { builtin, classByName: false, allowLoopback: false });
  const stop = new AbortController();
  const cluster = new Cluster({ client, log, metrics, options, flags, signal: stop.signal });
  started.cluster = cluster;
  await serveCluster(cluster, flags, log, signal, stop);
  await Promise.all(endpoints.map((endpoint) => endpoint.close()));
}

/** From the first list to the last answer. Reading goes on while requests drain; leading ends at once. */
async function serveCluster(
  cluster: Cluster,
  flags: ControllerFlags,
  log: Logger,
  signal: AbortSignal,
  stop: AbortController,
): Promise<void> {
  const { engine, replicas } = cluster;
  const running = cluster.start(stop.signal, signal);
  const stopped = new Promise<"stopped">((resolve) => {
    if (signal.aborted) resolve("stopped");
    signal.addEventListener("abort", () => resolve("stopped"), { once: true });
  });
  const first = await Promise.race([cluster.synced(signal), stopped, running]);
  if (first === undefined) {
    engine.controller.open();
    replicas?.ready();
    log.info({ routes: engine.translator.table.routes.size }, "the first table is live");
    await Promise.race([stopped, running]);
  }
  log.info({ limitSeconds: flags.drainTimeout }, "draining");
  await engine.gateway.drain(flags.drainTimeout * 1000);
  stop.abort();
  await running;
}
