import type { Key } from "../../src/api/keys.ts";
import { type Engine, createEngine } from "../../src/commands/engine.ts";
import { BUILTIN_GATEWAY } from "../../src/routing/listener.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { Metrics } from "../../src/telemetry/metrics.ts";
import { bootstrap } from "../../src/xds/bootstrap.ts";
import { EnvoyDataPlane } from "../../src/xds/envoy-data-plane.ts";
import type { ProxyOptions } from "../../src/xds/options.ts";
import { Envoy } from "./envoy.ts";
import { OPTIONS, objectsFrom } from "./objects.ts";
import { freePort } from "./ports.ts";

const PROXY_OPTIONS: ProxyOptions = {
  showReason: true,
  showRoute: false,
  underscores: "reject",
  trustedHops: 0,
  http2: true,
};
const KINDS = [
  "ServiceRoute",
  "Service",
  "EndpointSlice",
  "Gateway",
  "Secret",
  "ReferenceGrant",
  "Namespace",
  "ConfigMap",
  "BackendTLSPolicy",
] as const;

/** The whole pipeline with our xDS server at its end, in this process, and real Envoys that it programs. */
export class EnvoyRig {
  readonly engine: Engine;
  /** Of the built-in gateway. */
  readonly port: number;
  readonly plane: EnvoyDataPlane;
  readonly #xdsPort: number;
  readonly #envoys: Envoy[] = [];
  #count = 0;

  private constructor(parts: { engine: Engine; port: number; plane: EnvoyDataPlane; xdsPort: number }) {
    this.engine = parts.engine;
    this.port = parts.port;
    this.plane = parts.plane;
    this.#xdsPort = parts.xdsPort;
  }

  /** @param before  A controller whose place this one takes: its proxies find it where that one was. */
  static async start(options: Partial<ProxyOptions> = {}, before?: EnvoyRig): Promise<EnvoyRig> {
    const [port, log] = [before?.port ?? (await freePort()), createLogger("silent")];
    const made: { plane?: EnvoyDataPlane } = {};
    const engine = createEngine({
      options: { ...OPTIONS, builtin: { httpPort: port, httpsPort: port + 1 } },
      gateway: (table, events) =>
        (made.plane = new EnvoyDataPlane({ table, options: { ...PROXY_OPTIONS, ...options }, log, events })),
      log,
      metrics: new Metrics(),
      replicas: false,
      proxies: true,
      sink: { routesChanged: () => undefined, gatewaysChanged: () => undefined },
    });
    const { plane } = made;
    if (plane === undefined) throw new Error("the engine has made no data plane");
    const xdsPort = await plane.listen(`127.0.0.1:${before === undefined ? 0 : before.#xdsPort}`);
    if (before === undefined) engine.controller.open();
    return new EnvoyRig({ engine, port, plane, xdsPort });
  }

  get proxies(): number {
    return this.plane.proxies.length;
  }

  async startEnvoy(gateway: Key<"Gateway"> = BUILTIN_GATEWAY): Promise<Envoy> {
    const admin = { address: "127.0.0.1", port: await freePort() };
    const config = bootstrap({
      gateway,
      proxy: `proxy-${++this.#count}`,
      controller: { address: "127.0.0.1", port: this.#xdsPort },
      admin,
      maxConnections: 10_000,
    });
    const envoy = new Envoy(config, admin.port);
    this.#envoys.push(envoy);
    return envoy;
  }

  /** Makes these manifests all that there is. */
  apply(yaml: string): void {
    this.load(yaml);
    this.engine.controller.changed();
  }

  /** The same, for a controller that has nothing published yet. */
  load(yaml: string): void {
    const objects = objectsFrom(yaml);
    this.engine.store.transaction(() => {
      for (const kind of KINDS)
        this.engine.store.replace(
          kind,
          objects.filter((object) => object.kind === kind),
        );
    });
  }

  /** Adds these manifests, or changes those of their names. */
  add(yaml: string): void {
    for (const object of objectsFrom(yaml)) this.engine.store.apply(object);
    this.engine.controller.changed();
  }

  /** The condition Programmed of a route. */
  programmed(key: Key<"ServiceRoute">): readonly [status: string, reason: string, message: string] {
    const conditions = this.engine.controller.routeStatus(key)?.conditions ?? [];
    const found = conditions.find(({ type }) => type === "Programmed");
    return [found?.status ?? "", found?.reason ?? "", found?.message ?? ""];
  }

  async close(): Promise<void> {
    await Promise.all(this.#envoys.map(async (envoy) => envoy.stop()));
    await this.plane.drain();
  }
}
