import type { Tracer } from "../proxy/request-record.ts";
import type { Logger } from "../telemetry/logger.ts";
import { openTracing, tracingSettings } from "../telemetry/tracing.ts";
import { CommandError } from "./exit.ts";

export interface RequestTracing {
  /** Absent where the environment asks for no traces, and nothing is loaded for them. */
  readonly tracer: Tracer | undefined;
  close(): Promise<void>;
}

const OFF: RequestTracing = { tracer: undefined, close: async () => Promise.resolve() };

/** @throws CommandError for a variable that cannot be followed. */
export function checkTracing(env: NodeJS.ProcessEnv): void {
  try {
    tracingSettings(env);
  } catch (error) {
    throw asCommandError(error);
  }
}

const asCommandError = (error: unknown): unknown =>
  error instanceof RangeError ? new CommandError(error.message, 2) : error;

/**
 * Traces as OpenTelemetry's standard variables want them.
 *
 * @throws CommandError for a variable that cannot be followed.
 */
export async function tracingOf(env: NodeJS.ProcessEnv, log: Logger): Promise<RequestTracing> {
  try {
    const settings = tracingSettings(env);
    if (settings === undefined) return OFF;
    const [tracing, { gatewayTracer }] = await Promise.all([openTracing(settings, log), import("./gateway-tracer.ts")]);
    return { tracer: gatewayTracer(tracing), close: async () => tracing.close() };
  } catch (error) {
    throw asCommandError(error);
  }
}
