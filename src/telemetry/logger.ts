import { type DestinationStream, type Logger, destination, pino } from "pino";

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type { DestinationStream, Logger };

/** Bytes that wait for a blocked reader before lines are dropped, so that a full pipe never blocks traffic (F54). */
const MAX_BACKLOG = 4 * 1024 * 1024;
/** What a pipe takes in one piece: several processes write to one, and lines of one never get into those of another. */
export const LONGEST_WRITE = 4096;
/** After which a line is written, however few there are. */
const LATEST_MS = 100;
/** For a blocked reader, when the process ends. */
const LAST_WAIT_MS = 500;

type Stdout = ReturnType<typeof destination>;

/** The library writes full pages by itself; this sees to the rest, and to what a slow reader has held up. */
function writeInTime(stream: Stdout): void {
  let waitingBytes = 0;
  let isDue = false;
  const writeSoon = (): void => {
    isDue = waitingBytes > 0;
    if (!isDue) return;
    setTimeout(() => {
      if (waitingBytes > 0) stream.flush();
      writeSoon();
    }, LATEST_MS).unref();
  };
  stream.on("write", (bytes) => (waitingBytes -= bytes));
  stream.on("drop", (line: string) => (waitingBytes -= Buffer.byteLength(line)));
  stream.on("error", ({ code }: NodeJS.ErrnoException) => {
    if (code === "EPIPE") waitingBytes = 0;
  });
  const write = stream.write.bind(stream);
  stream.write = (line) => {
    waitingBytes += Buffer.byteLength(line);
    const isTaken = write(line);
    if (!isDue) writeSoon();
    return isTaken;
  };
}

/** At the end of the process the library would try for ever, whatever is wrong. @returns Whether it may try once more. */
function endInTime(stream: Stdout): () => boolean {
  let waitsUntil = Infinity;
  let isFailing = false;
  stream.on("write", () => (isFailing = false));
  // A disk that is full costs lines, once no more of them can wait, and not the process.
  stream.on("error", () => (isFailing = true));
  const flush = stream.flushSync.bind(stream);
  stream.flushSync = () => {
    if (isFailing) return;
    waitsUntil = performance.now() + LAST_WAIT_MS;
    try {
      flush();
    } catch {
      // Nobody is left to be told.
    }
  };
  return () => performance.now() < waitsUntil;
}

/**
 * Lines on stdout, written without waiting for the reader. All logs of a process share one, so that no line of one gets
 * into a line of another.
 *
 * @param dropped  Told of every line that was lost because nobody reads.
 */
export function openStdout(dropped: () => void = () => undefined): DestinationStream {
  let mayTryAgain = (): boolean => true;
  const stream = destination({
    dest: 1,
    sync: false,
    maxLength: MAX_BACKLOG,
    maxWrite: LONGEST_WRITE,
    // A write costs more than all that a request is asked otherwise: lines go together.
    minLength: LONGEST_WRITE - 1,
    retryEAGAIN: () => mayTryAgain(),
  });
  writeInTime(stream);
  mayTryAgain = endInTime(stream);
  stream.on("drop", dropped);
  stream.on("error", ({ code }: NodeJS.ErrnoException) => {
    // Nobody will ever read: the library writes no more.
    if (code === "EPIPE") stream.write = () => (dropped(), true);
  });
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
