const LONGEST = 300;
/** Before these words Envoy shows all of the resource, in whatever form is its latest. */
const AFTER_DUMP = ["Proto constraint validation failed", "Error adding/updating"];

/** What a person needs of why Envoy refuses something: one line, without the resource itself, which may hold secrets. */
export function refusalText(message: string): string {
  const start = Math.max(0, ...AFTER_DUMP.map((words) => message.lastIndexOf(words)));
  const line = message
    .slice(start)
    .replaceAll(/[\x00-\x1f\x7f]+/g, " ")
    .trim();
  return line.length <= LONGEST ? line : `${line.slice(0, LONGEST)}…`;
}
