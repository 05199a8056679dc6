import type { RefError, RefReason, SpecError } from "../api/condition.ts";

/** Collects what is wrong with one object while it is translated: mistakes are data, not control flow. */
export class Problems {
  readonly specErrors: SpecError[] = [];
  readonly refErrors: RefError[] = [];

  /** How many mistakes in the spec itself; references that do not resolve are not among them. */
  get count(): number {
    return this.specErrors.length;
  }

  spec(field: string, message: string, reason: SpecError["reason"] = "UnsupportedValue"): void {
    this.specErrors.push({ field, reason, message });
  }

  ref(field: string, reason: RefReason, message: string): RefError {
    const error: RefError = { field, reason, message };
    this.refErrors.push(error);
    return error;
  }
}
