import type { Tracer } from "@opentelemetry/api";
import type { Sampler, SpanExporter } from "@opentelemetry/sdk-trace";
import type { Logger } from "./logger.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** What the standard variables ask for. */
export interface TracingSettings {
  readonly protocol: "http/protobuf" | "http/json";
  readonly sampler: string;
  /** Of those that sample by ratio, 0..1. */
  readonly ratio: number;
  readonly batch: {
    readonly scheduledDelayMillis?: number;
    readonly exportTimeoutMillis?: number;
    readonly maxQueueSize?: number;
    readonly maxExportBatchSize?: number;
  };
}

const PROTOCOLS = ["http/protobuf", "http/json"] as const;
const SAMPLERS = ["always_on", "always_off", "traceidratio"].flatMap((name) => [name, `parentbased_${name}`]);
const SHUTDOWN_MS = 2000;

/**
 * @returns undefined when traces are off, which they are unless an exporter or where it sends to is named.
 * @throws  RangeError for a value that cannot be followed.
 * @source OpenTelemetry's environment variable specification.
 */
export function tracingSettings(env: Env): TracingSettings | undefined {
  const given = (name: string): string | undefined => (env[name]?.trim() === "" ? undefined : env[name]?.trim());
  const oneOf = <T extends string>(name: string, value: string, known: readonly T[]): T => {
    const found = known.find((one) => one === value);
    if (found === undefined) throw new RangeError(`${name}: "${value}" is not served; use ${known.join(", ")}`);
    return found;
  };
  const number = (name: string): number | undefined => {
    const value = given(name);
    if (value === undefined) return undefined;
    if (!/^[0-9]+(\.[0-9]+)?$/.test(value)) throw new RangeError(`${name}: "${value}" is no number`);
    return Number(value);
  };
  if (given("OTEL_SDK_DISABLED")?.toLowerCase() === "true") return undefined;
  const endpoint = given("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") ?? given("OTEL_EXPORTER_OTLP_ENDPOINT");
  const exporter = given("OTEL_TRACES_EXPORTER") ?? (endpoint === undefined ? "none" : "otlp");
  if (oneOf("OTEL_TRACES_EXPORTER", exporter, ["none", "otlp"]) === "none") return undefined;
  checkEndpoint(endpoint);
  checkHeaders(given("OTEL_EXPORTER_OTLP_TRACES_HEADERS") ?? given("OTEL_EXPORTER_OTLP_HEADERS") ?? "");
  const protocol = given("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") ?? given("OTEL_EXPORTER_OTLP_PROTOCOL");
  const ratio = number("OTEL_TRACES_SAMPLER_ARG") ?? 1;
  if (ratio > 1) throw new RangeError(`OTEL_TRACES_SAMPLER_ARG: ${ratio} is more than 1`);
  const limits = {
    scheduledDelayMillis: number("OTEL_BSP_SCHEDULE_DELAY"),
    exportTimeoutMillis: number("OTEL_BSP_EXPORT_TIMEOUT"),
    maxQueueSize: number("OTEL_BSP_MAX_QUEUE_SIZE"),
    maxExportBatchSize: number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
  };
  return {
    protocol: oneOf("OTEL_EXPORTER_OTLP_PROTOCOL", protocol ?? "http/protobuf", PROTOCOLS),
    sampler: oneOf("OTEL_TRACES_SAMPLER", given("OTEL_TRACES_SAMPLER") ?? "parentbased_always_on", SAMPLERS),
    ratio,
    batch: Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined)),
  };
}

/** The exporter would go on with its default, and say so in passing. */
function checkEndpoint(endpoint: string | undefined): void {
  if (endpoint !== undefined && !/^https?:\/\/[^/]/.test(endpoint))
    throw new RangeError(`OTEL_EXPORTER_OTLP_ENDPOINT: "${endpoint}" is no URL; write it like http://collector:4318`);
}

/** The values are credentials, so that none is shown. */
function checkHeaders(list: string): void {
  for (const pair of list.split(",").filter((one) => one.trim() !== ""))
    if (!/^\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*=/.test(pair))
      throw new RangeError("OTEL_EXPORTER_OTLP_HEADERS: every header is written as name=value, with commas between");
}

async function samplerOf({ sampler, ratio }: TracingSettings): Promise<Sampler> {
  const sdk = await import("@opentelemetry/sdk-trace");
  const [, parentBased, name] = /^(parentbased_)?(.*)$/.exec(sampler) ?? [];
  const root =
    name === "traceidratio"
      ? new sdk.TraceIdRatioBasedSampler(ratio)
      : name === "always_off"
        ? new sdk.AlwaysOffSampler()
        : new sdk.AlwaysOnSampler();
  return parentBased === undefined ? root : new sdk.ParentBasedSampler({ root });
}

async function exporterOf({ protocol }: TracingSettings): Promise<SpanExporter> {
  // Each reads OTEL_EXPORTER_OTLP_* itself: endpoint, headers, certificates, compression, timeout.
  const { OTLPTraceExporter } =
    protocol === "http/json"
      ? await import("@opentelemetry/exporter-trace-otlp-http")
      : await import("@opentelemetry/exporter-trace-otlp-proto");
  return new OTLPTraceExporter();
}

export interface Tracing {
  readonly tracer: Tracer;
  /** Sends what is left, as far as that is done soon. */
  close(): Promise<void>;
}

/** Loads what makes traces only where they are wanted. */
export async function openTracing(settings: TracingSettings, log: Logger): Promise<Tracing> {
  const [{ diag, DiagLogLevel }, sdk, resources] = await Promise.all([
    import("@opentelemetry/api"),
    import("@opentelemetry/sdk-trace"),
    import("@opentelemetry/resources"),
  ]);
  const warn = (message: string): void => log.warn({ problem: message }, "traces");
  const silent = (): void => undefined;
  diag.setLogger(
    { error: warn, warn, info: silent, debug: silent, verbose: silent },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
  const own = resources.resourceFromAttributes({ "service.name": "serviceroute" });
  const { resourceAttributesEnvDetector, serviceNameEnvDetector } = resources;
  const detectors = [resourceAttributesEnvDetector, serviceNameEnvDetector];
  const said = resources.detectResources({ detectors });
  const provider = new sdk.TracerProvider({
    resource: own.merge(said),
    sampler: await samplerOf(settings),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter: await exporterOf(settings), ...settings.batch })],
  });
  return {
    tracer: provider.getTracer("serviceroute"),
    close: async () => {
      const limit = new Promise<void>((resolve) => setTimeout(resolve, SHUTDOWN_MS).unref());
      await Promise.race([provider.shutdown().catch((error: unknown) => log.warn({ err: error }, "traces")), limit]);
    },
  };
}
