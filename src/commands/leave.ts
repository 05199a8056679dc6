import { fstatSync } from "node:fs";
import { isThreadWriting, unblock } from "../telemetry/outlet.ts";

const LAST_WAIT_MS = 500;
/** For a thread to come back. */
const WAKE_MS = 50;
const STDOUT = 1;

/**
 * Ends the process, though nobody reads its log: one of its threads may stand in a write, and would keep it until
 * somebody does. If it does not come back from a socket it is woken by hanging up, for all who share the socket.
 */
export function leaveNow(code?: number): void {
  const stdout = fstatSync(STDOUT);
  const isSocket = stdout.isSocket();
  if (!isThreadWriting() || !(isSocket || stdout.isFIFO())) process.exit(code);
  unblock(STDOUT);
  setTimeout(() => {
    if (!isThreadWriting()) process.exit(code);
    if (isSocket) process.stdout.end();
    setTimeout(() => exitNow(code), LAST_WAIT_MS);
  }, WAKE_MS);
}

/** Nothing wakes a thread that stands in a write into a pipe that could not be opened again. */
function exitNow(code: number | undefined): void {
  if (isThreadWriting()) process.kill(process.pid, "SIGKILL");
  process.exit(code);
}

/**
 * Of a command that serves, once all is done: a log that nobody reads keeps the process no longer. What other commands
 * print is waited for, however slow its reader is.
 */
export function leave(now: () => void = leaveNow): void {
  setTimeout(() => now(), LAST_WAIT_MS).unref();
}
