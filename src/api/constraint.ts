import type { z } from "zod";

/** One cross-field rule, said twice: to the API server as CEL, and to our own parser as `ok`, because CEL is no protection. */
export interface Constraint<T> {
  readonly rule: string;
  readonly message: string;
  readonly ok: (value: T) => boolean;
  /** CEL is left out where the API server's cost budget forbids it; the parser alone enforces the rule then. */
  readonly parserOnly?: boolean;
}

/** `schema` with every constraint enforced by the parser and carried into the CRD as `x-kubernetes-validations`. */
export function constrain<S extends z.ZodType>(schema: S, ...constraints: readonly Constraint<z.output<S>>[]): S {
  let refined: S = schema;
  for (const { ok, message } of constraints) refined = refined.refine((value) => ok(value), { message });
  const validations = constraints.filter((c) => c.parserOnly !== true).map(({ rule, message }) => ({ rule, message }));
  return validations.length === 0 ? refined : refined.meta({ "x-kubernetes-validations": validations });
}

/**
 * The rules of a discriminated union: the member that `type` names is present and no other is.
 *
 * @param members       `type` value → name of its member; `undefined` for a type without one.
 * @param mayBeAbsent   Members that their type allows but does not demand.
 */
export function unionRules(
  members: Readonly<Record<string, string | undefined>>,
  mayBeAbsent: readonly string[] = [],
): readonly Constraint<{ type?: string | undefined }>[] {
  return Object.entries(members).flatMap(([type, member]) => {
    if (member === undefined) return [];
    const present = (value: object): boolean => (value as Record<string, unknown>)[member] !== undefined;
    const forbidden: Constraint<{ type?: string | undefined }> = {
      rule: `!has(self.${member}) || (has(self.type) && self.type == '${type}')`,
      message: `${member} must be absent unless type is ${type}`,
      ok: (value) => !present(value) || value.type === type,
    };
    const required: Constraint<{ type?: string | undefined }> = {
      rule: `!has(self.type) || self.type != '${type}' || has(self.${member})`,
      message: `${member} is required when type is ${type}`,
      ok: (value) => value.type !== type || present(value),
    };
    return mayBeAbsent.includes(member) ? [forbidden] : [required, forbidden];
  });
}
