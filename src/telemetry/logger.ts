import { type DestinationStream, type Logger, destination, pino } from "pino";

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type { DestinationStream, Logger };

/** Bytes that wait for a blocked reader before lines are dropped, so that a full pipe never blocks traffic (F54). */
const MAX_BACKLOG = 4 * 1024 * 1024;

/**
 * Lines on stdout, written without waiting for the reader. All logs of a process share one, so that no line of one gets
 * into a line of another.
 *
 * @param dropped  Told of every line that was lost because nobody reads.
 */
export function openStdout(dropped: () => void = () => undefined): DestinationStream {
  const stream = destination({ dest: 1, sync: false, maxLength: MAX_BACKLOG });
  stream.on("drop", dropped);
  return stream;
}

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
