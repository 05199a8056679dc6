import { type Stats, constants, fstatSync, openSync, write, writeSync } from "node:fs";
import { Socket } from "node:net";

/** Bytes that were taken, or why none were. */
export type Outcome = number | NodeJS.ErrnoException;

/** Somewhere to write to without waiting for who reads. */
export interface Outlet {
  /** Bytes that are worth a write. */
  readonly page: number;
  /** All that waits may go by one write. */
  readonly joins: boolean;
  /** What was given to it comes whole, though nobody hears of it. */
  readonly isWhole: boolean;
  /** @returns undefined: `later` is told. */
  take(bytes: Buffer, later: (outcome: Outcome) => void): Outcome | undefined;
  /** When the process ends and nothing can come later. */
  takeNow(bytes: Buffer): Outcome;
}

/** What a pipe takes in one piece: several processes write to one, and no line up to here gets into those of another. */
export const LONGEST_WRITE = 4096;
/** The same of a UNIX socket, about. */
const LONGEST_WRITE_TO_SOCKET = 32 * 1024;
const WORTH_A_THREAD = 64 * 1024;

function writeNow(fd: number, bytes: Buffer): Outcome {
  try {
    return writeSync(fd, bytes);
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
}

const atOnce = (fd: number): Outlet => ({
  page: LONGEST_WRITE,
  joins: false,
  isWhole: false,
  take: (bytes) => writeNow(fd, bytes),
  takeNow: (bytes) => writeNow(fd, bytes),
});

let writing = 0;
/** A process does not end while one of its threads stands in a write. */
export const isThreadWriting = (): boolean => writing > 0;

/**
 * From now on no write into a socket or pipe stands, as far as that can be had, and until another process that shares it
 * starts or ends.
 */
export function unblock(fd: number): void {
  const stat = fstatSync(fd);
  if (!stat.isSocket() && !stat.isFIFO()) return;
  try {
    // Making a stream of it is what sets the mode; the descriptors up to 2 are never closed with one.
    new Socket({ fd, readable: false, writable: true });
  } catch {
    // No stream can be made of a socket of datagrams.
  }
}

/** A thread comes back once in a turn of the event loop: best is that all which waits goes by one write. */
const byThread = (fd: number, parts: Pick<Outlet, "page" | "joins" | "isWhole">): Outlet => ({
  ...parts,
  take: (bytes, later) => {
    writing++;
    write(fd, bytes, (error, count) => {
      writing--;
      later(error ?? count);
    });
    return undefined;
  },
  takeNow: (bytes) => {
    unblock(fd);
    return writeNow(fd, bytes);
  },
});

/** A pipe or terminal, once more: it refuses what is too much, whatever others do with the descriptor that they share. */
function openedAgain(fd: number, stat: Stats): number | undefined {
  if (!stat.isFIFO() && !stat.isCharacterDevice()) return undefined;
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    // Not everybody may open what was given to them.
    return undefined;
  }
}

/** @param isShared  Other processes write to it, too: no line of one may get into those of another. */
export function outletTo(fd: number, isShared: boolean): Outlet {
  const stat = fstatSync(fd);
  const again = openedAgain(fd, stat);
  if (again !== undefined) return atOnce(again);
  const isWhole = stat.isFile();
  if (!isShared || isWhole) return byThread(fd, { page: WORTH_A_THREAD, joins: true, isWhole });
  const page = stat.isSocket() ? LONGEST_WRITE_TO_SOCKET : LONGEST_WRITE;
  return byThread(fd, { page, joins: false, isWhole });
}
