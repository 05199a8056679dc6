import type { ConditionStatus, DesiredCondition, RefError } from "../api/condition.ts";

const LONGEST_MESSAGE = 2048;

/** A condition without what depends on the object. */
export type Verdict = Pick<DesiredCondition, "status" | "reason" | "message">;

/** Thousands of routes say the same few things: equal conditions are one object. Emptied when it has grown too far. */
const known = new Map<string, DesiredCondition>();
const MAX_KNOWN = 4096;

export function condition(type: string, generation: number, { status, reason, message }: Verdict): DesiredCondition {
  const short = message.length <= LONGEST_MESSAGE ? message : `${message.slice(0, LONGEST_MESSAGE - 1)}…`;
  const id = `${type} ${status} ${reason} ${generation} ${short}`;
  const same = known.get(id);
  if (same !== undefined) return same;
  const made: DesiredCondition = Object.freeze({
    type,
    status,
    reason,
    message: short,
    observedGeneration: generation,
  });
  if (known.size >= MAX_KNOWN) known.clear();
  known.set(id, made);
  return made;
}

export const verdict = (status: ConditionStatus, reason: string, message: string): Verdict => ({
  status,
  reason,
  message,
});

/** `field: message` of each, separated by `; `. */
export function listErrors(errors: readonly { readonly field: string; readonly message: string }[]): string {
  return errors.map(({ field, message }) => (field === "" ? message : `${field}: ${message}`)).join("; ");
}

/** True when every reference resolved; else the first error's reason and every error's message. */
export function resolvedRefs(errors: readonly RefError[]): Verdict {
  const [first] = errors;
  if (first === undefined) return verdict("True", "ResolvedRefs", "All references resolve.");
  return verdict("False", first.reason, listErrors(errors));
}

const WORSE: readonly ConditionStatus[] = ["False", "Unknown", "True"];

/** The worst of several verdicts, the first of equals: False, then Unknown, then True; says how many more there are. */
export function worst(verdicts: readonly Verdict[]): Verdict | undefined {
  for (const status of WORSE) {
    const same = verdicts.filter((one) => one.status === status);
    const [first] = same;
    if (first === undefined) continue;
    const more = status === "True" || same.length === 1 ? "" : ` (+${same.length - 1} more)`;
    return { ...first, message: `${first.message}${more}` };
  }
  return undefined;
}
