import { type DestinationStream, type Logger, pino } from "pino";
import { LineWriter } from "./line-writer.ts";
import { outletTo } from "./outlet.ts";

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type { DestinationStream, Logger };

const STDOUT = 1;

export interface StdoutUse {
  /** Told of every line that was lost because nobody reads. */
  readonly dropped?: () => void;
  /** Other processes write to it, too. */
  readonly isShared?: boolean;
}

/** All logs of a process share one, so that no line of one gets into a line of another. */
export const openStdout = ({ dropped = () => undefined, isShared = false }: StdoutUse = {}): DestinationStream =>
  new LineWriter(() => outletTo(STDOUT, isShared), dropped);

/** JSON lines. */
export function createLogger(level: LogLevel, stream: DestinationStream = openStdout()): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
}
