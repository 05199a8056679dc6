import { type DestinationStream, type Logger, destination, pino } from "pino";

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type { Logger };

/** Kilobytes that wait for a blocked reader before lines are dropped, so that a full pipe never blocks traffic (F54). */
const MAX_BACKLOG = 4 * 1024 * 1024;

/** JSON lines on stdout, written without waiting for the reader. */
export function createLogger(level: LogLevel, stream: DestinationStream = asyncStdout()): Logger {
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

function asyncStdout(): DestinationStream {
  return destination({ dest: 1, sync: false, maxLength: MAX_BACKLOG });
}
