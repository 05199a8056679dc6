import type { ListenerReport } from "../routing/programmed.ts";

/** All annotations of an object may have 256 KiB together: 10,000 digests, and what fails beside them. */
const MOST_SERVING = 10_000;
const LONGEST_FAILED = 100_000;
const LONGEST_REASON = 200;

/**
 * As JSON for a Lease's annotation. What there is no room for is left out, and so counts as not serving: a status may
 * say less than is true, never more.
 */
export function writeListeners({ serving, failed }: ListenerReport): string {
  let room = LONGEST_FAILED;
  const told = [...failed].flatMap(([digest, why]) => {
    const short = why.slice(0, LONGEST_REASON);
    room -= digest.length + short.length + 8;
    return room < 0 ? [] : [[digest, short] as const];
  });
  return JSON.stringify({ serving: [...serving].slice(0, MOST_SERVING).join(" "), failed: Object.fromEntries(told) });
}

const NOTHING: ListenerReport = { serving: new Set(), failed: new Map() };

/** What nobody understands is no report of anything that serves. */
export function readListeners(annotation: string | undefined): ListenerReport {
  try {
    const { serving, failed } = JSON.parse(annotation ?? "{}") as { serving?: unknown; failed?: unknown };
    if (typeof serving !== "string" || typeof failed !== "object" || failed === null) return NOTHING;
    const reasons = Object.entries(failed).flatMap(([digest, why]) =>
      typeof why === "string" ? [[digest, why] as const] : [],
    );
    return { serving: new Set(serving.split(" ")), failed: new Map(reasons) };
  } catch {
    return NOTHING;
  }
}
