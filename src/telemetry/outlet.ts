import { constants, fstatSync, openSync, write, writeSync } from "node:fs";

/** Bytes that were taken, or why none were. */
export type Outcome = number | NodeJS.ErrnoException;

/** Somewhere to write to without waiting for who reads. */
export interface Outlet {
  /** Bytes to give it at once. */
  readonly page: number;
  /** @returns undefined: `later` is told. */
  take(bytes: Buffer, later: (outcome: Outcome) => void): Outcome | undefined;
  /** When the process ends and nothing can come later. It may block where the descriptor does. */
  takeNow(bytes: Buffer): Outcome;
}

/** What a pipe takes in one piece: several processes write to one, and no line up to here gets into those of another. */
export const LONGEST_WRITE = 4096;
/** The same of a UNIX socket, about. */
const LONGEST_WRITE_TO_SOCKET = 32 * 1024;

function writeNow(fd: number, bytes: Buffer): Outcome {
  try {
    return writeSync(fd, bytes);
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
}

const atOnce = (fd: number): Outlet => ({
  page: LONGEST_WRITE,
  take: (bytes) => writeNow(fd, bytes),
  takeNow: (bytes) => writeNow(fd, bytes),
});

/** A thread comes back once in a turn of the event loop: best is that all which waits goes by one write. */
const byThread = (fd: number, page: number): Outlet => ({
  page,
  take: (bytes, later) => {
    write(fd, bytes, (error, count) => later(error ?? count));
    return undefined;
  },
  takeNow: (bytes) => writeNow(fd, bytes),
});

/**
 * A pipe or terminal is opened once more, so that it refuses what is too much, whatever others do with the descriptor
 * that they share. What cannot be opened again, as a socket, or has a place to write to, as a file, is left to a thread.
 *
 * @param isShared  Other processes write to it, too.
 */
export function outletTo(fd: number, isShared: boolean): Outlet {
  try {
    const stat = fstatSync(fd);
    if (stat.isFile()) return byThread(fd, Infinity);
    if (stat.isFIFO() || stat.isCharacterDevice())
      return atOnce(openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY));
  } catch {
    // Not everybody may open what was given to them.
  }
  return byThread(fd, isShared ? LONGEST_WRITE_TO_SOCKET : Infinity);
}
