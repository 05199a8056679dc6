const LAST_WAIT_MS = 500;

/**
 * Of a command that serves, once all is done: a log that nobody reads keeps the process no longer. What other commands
 * print is waited for, however slow its reader is.
 */
export function leave(): void {
  setTimeout(() => process.exit(), LAST_WAIT_MS).unref();
}
