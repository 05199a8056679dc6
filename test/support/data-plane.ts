import { type IncomingHttpHeaders, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { DEFAULT_OPTIONS, type GatewayOptions } from "../../src/proxy/gateway-context.ts";
import { type GatewayFactory, type WorkerFlags, gatewayHere, gatewayInWorkers } from "../../src/commands/data-plane.ts";
import type { ProxyOptions } from "../../src/xds/options.ts";
import { EnvoyRig } from "./envoy-rig.ts";
import { freePort } from "./ports.ts";
import { createEngine, type Engine } from "../../src/commands/engine.ts";
import { type Logger, createLogger } from "../../src/telemetry/logger.ts";
import { Metrics } from "../../src/telemetry/metrics.ts";
import { OPTIONS, objectsFrom } from "./objects.ts";

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}
export interface Ask {
  readonly method?: string;
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Buffer | readonly Buffer[];
}

/** What a contract test needs of a data plane: manifests in, traffic out. */
export interface DataPlaneRig {
  readonly port: number;
  readonly engine: Engine;
  /** What the data plane counts, as Prometheus reads it. */
  metrics(): Promise<string>;
  /** Makes these manifests all that there is, and returns when they are served. */
  publish(yaml: string): Promise<void>;
  ask(path: string, options?: Ask): Promise<Reply>;
  /** Gives what was asked last the time to be known to every process of the data plane. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

export async function send(
  port: number,
  path: string,
  { method = "GET", host = "a.example.com", headers = {}, body }: Ask = {},
  address = "127.0.0.1",
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: address,
        port,
        path,
        method,
        headers: { host, ...headers } as Record<string, string | string[]>,
        agent: false,
      },
      (incoming) => {
        let text = "";
        incoming.setEncoding("utf8");
        incoming.on("data", (chunk: string) => (text += chunk));
        incoming.on("end", () => resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: text }));
        incoming.on("error", reject);
      },
    );
    outgoing.on("error", reject);
    if (Array.isArray(body)) {
      for (const chunk of body as readonly Buffer[]) outgoing.write(chunk);
      outgoing.end();
    } else outgoing.end(body);
  });
}

export async function until(what: string, holds: () => boolean | Promise<boolean>, withinMs = 30_000): Promise<void> {
  const limit = Date.now() + withinMs;
  while (!(await holds())) {
    if (Date.now() > limit) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The embedded gateway with the whole pipeline before it, in this process. */
export async function startEmbedded(serving: Partial<GatewayOptions> = {}): Promise<DataPlaneRig> {
  return startRig((log, metrics) =>
    gatewayHere({ serving: { ...DEFAULT_OPTIONS, showReason: true, ...serving }, log, metrics }),
  );
}

/** The same with two processes that serve. */
export async function startWorkers(flags: Partial<WorkerFlags> = {}): Promise<DataPlaneRig> {
  const all: WorkerFlags = {
    gatewayWorkers: 2,
    dataPlane: "embedded",
    xdsAddress: { host: "127.0.0.1", port: 0 },
    reasonHeader: true,
    routeHeader: false,
    underscoreHeaders: "reject",
    trustedHops: 0,
    http2: "on",
    maxConnections: DEFAULT_OPTIONS.maxConnections,
    maxEventLoopDelay: DEFAULT_OPTIONS.maxEventLoopDelayMs,
    accessLog: false,
    accessLogSample: 1,
    logLevel: "silent",
    drainTimeout: 1,
    ...flags,
  };
  return startRig((log, metrics) => gatewayInWorkers(all, log, metrics));
}

/** Envoy, programmed by us. */
export async function startEnvoy(options: Partial<ProxyOptions> = {}): Promise<DataPlaneRig> {
  const rig = await EnvoyRig.start(options);
  const { engine, port, plane } = rig;
  await rig.startEnvoy();
  const isBound = (): boolean => engine.listeners.waiting().length === 0 && engine.listeners.report().failed.size === 0;
  await until("the port is bound", isBound);
  return {
    port,
    engine,
    metrics: async () => Promise.reject(new Error("Envoy has counters of its own")),
    publish: async (yaml) => {
      rig.apply(yaml);
      await plane.settled();
      await until("every listener is bound", isBound);
    },
    ask: async (path, ask) => send(port, path, ask),
    settle: async () => sleep(SETTLE_MS),
    close: async () => rig.close(),
  };
}

/** News between processes takes a millisecond or two. */
const SETTLE_MS = 50;

async function startRig(gatewayOf: (log: Logger, metrics: Metrics) => GatewayFactory): Promise<DataPlaneRig> {
  const port = await freePort();
  const [log, metrics] = [createLogger("silent"), new Metrics()];
  const engine = createEngine({
    options: { ...OPTIONS, builtin: { httpPort: port, httpsPort: port + 1 } },
    gateway: gatewayOf(log, metrics),
    log,
    metrics,
    replicas: false,
    sink: { routesChanged: () => undefined, gatewaysChanged: () => undefined },
  });
  engine.controller.open();
  const isBound = (): boolean => engine.listeners.waiting().length === 0 && engine.listeners.report().failed.size === 0;
  await until("the port is bound", isBound);
  return {
    port,
    engine,
    metrics: async () => metrics.text(),
    publish: async (yaml) => {
      const objects = objectsFrom(yaml);
      engine.store.transaction(() => {
        for (const kind of [
          "ServiceRoute",
          "Service",
          "EndpointSlice",
          "Gateway",
          "Secret",
          "ReferenceGrant",
          "Namespace",
          "ConfigMap",
          "BackendTLSPolicy",
        ] as const) {
          engine.store.replace(
            kind,
            objects.filter((object) => object.kind === kind),
          );
        }
      });
      engine.controller.changed();
      await new Promise<void>((resolve) => engine.gateway.whenServed(resolve));
      await until("every listener is bound", isBound);
    },
    ask: async (path, options) => send(port, path, options),
    settle: async () => sleep(SETTLE_MS),
    close: async () => engine.gateway.drain(100),
  };
}
