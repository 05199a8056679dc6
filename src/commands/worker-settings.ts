import type { LogLevel } from "../telemetry/logger.ts";
import type { ServingFlags } from "./serving-flags.ts";

/** What a worker is told at its start. It travels between processes, so that it is plain data. */
export interface WorkerSettings {
  readonly worker: number;
  readonly workers: number;
  readonly flags: ServingFlags;
  readonly logLevel: LogLevel;
  readonly drainMs: number;
  /** Of the gateway as a whole: one worker knows what another has sent on. */
  readonly identity: string;
  /** By which TLS sessions of one worker are resumed by any. */
  readonly ticketKeys: Buffer;
}
