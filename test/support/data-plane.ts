import { type IncomingHttpHeaders, request } from "node:http";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { DEFAULT_OPTIONS, type GatewayOptions } from "../../src/proxy/gateway-context.ts";
import { createEngine, type Engine } from "../../src/commands/engine.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
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
  close(): Promise<void>;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
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

export async function until(what: string, holds: () => boolean | Promise<boolean>, withinMs = 10_000): Promise<void> {
  const limit = Date.now() + withinMs;
  while (!(await holds())) {
    if (Date.now() > limit) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The embedded gateway with the whole pipeline before it, in this process. */
export async function startEmbedded(serving: Partial<GatewayOptions> = {}): Promise<DataPlaneRig> {
  const port = await freePort();
  const metrics = new Metrics();
  const engine = createEngine({
    options: { ...OPTIONS, builtin: { httpPort: port, httpsPort: port + 1 } },
    serving: { ...DEFAULT_OPTIONS, showReason: true, ...serving },
    log: createLogger("silent"),
    metrics,
    replicas: false,
    sink: { routesChanged: () => undefined, gatewaysChanged: () => undefined },
  });
  engine.controller.open();
  await until("the port is bound", () => engine.gateway.sockets().length > 0);
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
      await until(
        "every listener is bound",
        () => engine.gateway.sockets().length === new Set([...engine.translator.table.sockets()]).size,
      );
    },
    ask: async (path, options) => send(port, path, options),
    close: async () => engine.gateway.drain(100),
  };
}
