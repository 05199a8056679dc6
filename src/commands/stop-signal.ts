import { leaveNow } from "./leave.ts";

/** Aborts on SIGTERM or SIGINT; a second one ends the process at once. SIGHUP is no reason to stop. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController();
  const onSignal = (): void => {
    if (stop.signal.aborted) leaveNow(1);
    stop.abort();
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  process.on("SIGHUP", () => undefined);
  return stop.signal;
}
