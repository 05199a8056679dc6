import { type Key, partsOf } from "../api/keys.ts";
import { SERVICE_ROUTE_GROUP, apiVersionOf } from "../api/kinds.ts";
import { explain } from "../routing/explain.ts";
import { BUILTIN_GATEWAY } from "../routing/listener.ts";
import { HttpEndpoint, type Handler, type Reply, json, text } from "../telemetry/http-endpoint.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { CommandError } from "./exit.ts";
import type { Engine } from "./engine.ts";
import { explainRequest } from "./explain-request.ts";
import type { GatewayFlags } from "./gateway-flags.ts";
import type { ServingFlags } from "./serving-flags.ts";
import { tableDump } from "./table-dump.ts";

/** What the endpoints show. There may be no engine yet. */
interface Source {
  readonly engineOf: () => Engine | undefined;
  /** The status of a route or Gateway as users see it. */
  readonly statusOf: (key: Key) => unknown;
}

type Flags = Pick<GatewayFlags, "adminAddress" | "metricsAddress"> & Pick<ServingFlags, "underscoreHeaders">;

interface Health {
  /** Why we are not ready; empty when we are. */
  readonly notReady: () => string;
}

function objectOf(engine: Engine, key: Key, status: unknown): object {
  if (key === BUILTIN_GATEWAY) return { ...BUILTIN_OBJECT, status };
  const { kind, namespace, name } = partsOf(key);
  const object = engine.store.peek(key);
  const { creationTimestamp = "", generation = 0, resourceVersion = "" } = object?.metadata ?? {};
  const metadata = {
    name,
    ...(namespace === "" ? {} : { namespace }),
    generation,
    ...(resourceVersion === "" ? {} : { resourceVersion }),
    ...(creationTimestamp === "" ? {} : { creationTimestamp }),
  };
  return {
    apiVersion: apiVersionOf(kind),
    kind,
    metadata,
    spec: object !== undefined && "spec" in object ? object.spec : {},
    status,
  };
}

/** As its parentRef names it. */
const BUILTIN_OBJECT = {
  apiVersion: `${SERVICE_ROUTE_GROUP}/v1alpha1`,
  kind: "BuiltinGateway",
  metadata: { name: "default" },
  spec: {},
};

const listOf = (items: readonly object[]) => json({ apiVersion: "v1", kind: "List", items });

/** Everything but secrets; on loopback unless the operator says otherwise. */
function adminRoutes({ engineOf, statusOf }: Source, { underscoreHeaders }: Flags): Record<string, Handler> {
  const withEngine =
    (answer: (engine: Engine, url: URL) => Reply): Handler =>
    (url) => {
      const engine = engineOf();
      return engine === undefined ? text("starting", 503) : answer(engine, url);
    };
  return {
    "/v1/table": withEngine((engine) => json(tableDump(engine.translator.table))),
    "/v1/routes": withEngine((engine) =>
      listOf([...engine.controller.routeKeys()].map((key) => objectOf(engine, key, statusOf(key)))),
    ),
    "/v1/gateways": withEngine((engine) =>
      listOf([...engine.controller.gatewayStatuses.keys()].map((key) => objectOf(engine, key, statusOf(key)))),
    ),
    "/v1/explain": withEngine((engine, url) => {
      try {
        const request = explainRequest(
          url.searchParams.get("method") ?? "GET",
          url.searchParams.get("url") ?? "",
          url.searchParams.getAll("header"),
          {
            gateway: url.searchParams.get("gateway") ?? undefined,
            isProxy: url.searchParams.get("trusted-proxy") === "true",
            policy: { underscores: underscoreHeaders },
          },
        );
        return json(explain(engine.translator.table, request));
      } catch (error) {
        if (error instanceof CommandError) return text(error.message, 400);
        throw error;
      }
    }),
  };
}

function healthRoutes(metrics: Metrics, { notReady }: Health): Record<string, Handler> {
  return {
    "/healthz": () => text("ok"),
    "/readyz": () => (notReady() === "" ? text("ok") : text(notReady(), 503)),
    "/metrics": async () => ({ status: 200, type: metrics.registry.contentType, body: await metrics.text() }),
  };
}

async function bind(endpoint: HttpEndpoint, flagName: string, host: string, port: number): Promise<HttpEndpoint> {
  try {
    await endpoint.listen();
    return endpoint;
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    const why = code === "EADDRINUSE" ? "is in use" : `cannot be bound (${code})`;
    throw new CommandError(`${host}:${port} ${why}; choose another ${flagName}, or "off"`);
  }
}

/** Opens the two listeners beside the gateway's own. They answer before there is an engine, so that probes get the truth. */
export async function openEndpoints(
  source: Source,
  flags: Flags,
  metrics: Metrics,
  health: Health,
): Promise<readonly HttpEndpoint[]> {
  const open: HttpEndpoint[] = [];
  const { adminAddress: admin, metricsAddress } = flags;
  if (admin !== undefined) {
    const endpoint = new HttpEndpoint(admin, { ...healthRoutes(metrics, health), ...adminRoutes(source, flags) });
    open.push(await bind(endpoint, "--admin-address", admin.host, admin.port));
  }
  if (metricsAddress !== undefined) {
    const endpoint = new HttpEndpoint(metricsAddress, healthRoutes(metrics, health));
    open.push(await bind(endpoint, "--metrics-address", metricsAddress.host, metricsAddress.port));
  }
  return open;
}
