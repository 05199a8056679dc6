/**
 * The first releases of Node whose HTTP/2 server is without the use after free and the evasion of memory limits of
 * October 2026, by major version.
 */
const FIXED: ReadonlyMap<number, readonly [minor: number, patch: number]> = new Map([
  [22, [23, 4]],
  [24, [22, 1]],
  [26, [12, 1]],
]);
const NEWEST_BEFORE = 26;

/** Whether strangers may be let at this version's HTTP/2 server. */
export function hasHttp2Fixes(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number);
  if (major > NEWEST_BEFORE) return true;
  const fixed = FIXED.get(major);
  return fixed !== undefined && (minor > fixed[0] || (minor === fixed[0] && patch >= fixed[1]));
}
