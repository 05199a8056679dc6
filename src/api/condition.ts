import { z } from "zod";

/** @source Kubernetes metav1.Condition. */
export const Condition = z.object({
  type: z.string().min(1).max(316),
  status: z.enum(["True", "False", "Unknown"]),
  observedGeneration: z.int().min(0).optional(),
  lastTransitionTime: z.string().max(64).meta({ format: "date-time" }),
  reason: z.string().min(1).max(1024),
  message: z.string().max(32_768),
});
export type Condition = z.output<typeof Condition>;
export type ConditionStatus = Condition["status"];

/** A condition as translation wants it: it knows no clock, so it has no transition time yet. */
export interface DesiredCondition {
  readonly type: string;
  readonly status: ConditionStatus;
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

export type AcceptedReason =
  | "Accepted"
  | "NotAllowedByListeners"
  | "NoMatchingListenerHostname"
  | "NoMatchingParent"
  | "UnsupportedValue"
  | "IncompatibleFilters"
  | "Pending";

export type RefReason =
  | "RefNotPermitted"
  | "InvalidKind"
  | "BackendNotFound"
  | "UnsupportedProtocol"
  | "InvalidCertificateRef"
  | "InvalidCACertificateRef";

/** A user's mistake, as a value: it becomes a condition and never an exception. `field` is a path inside spec. */
export interface FieldError<R extends string = string> {
  readonly field: string;
  readonly reason: R;
  readonly message: string;
}
export type RefError = FieldError<RefReason>;
export type SpecError = FieldError<"UnsupportedValue" | "IncompatibleFilters">;
