import { z } from "zod";
import { constrain } from "./constraint.ts";
import { Group, KindName, Namespace, ObjectName, Port } from "./primitives.ts";

export const refShape = {
  group: Group.optional().describe("Default: the core group."),
  kind: KindName.optional().describe("Service or ServiceImport. Default: Service."),
  name: ObjectName.describe("Name of the backend."),
  namespace: Namespace.optional().describe("Default: the route's namespace. Another one needs a ReferenceGrant there."),
  port: Port.optional().describe("Port of the Service, not of its pods. Required for a Service."),
};

interface PortedRef {
  readonly group?: string | undefined;
  readonly kind?: string | undefined;
  readonly port?: number | undefined;
}

export const portRule = {
  rule: "(has(self.group) && size(self.group) > 0) || (has(self.kind) && self.kind != 'Service') || has(self.port)",
  message: "port is required for a Service",
  ok: (ref: PortedRef): boolean =>
    (ref.group ?? "") !== "" || (ref.kind ?? "Service") !== "Service" || ref.port !== undefined,
};

/** A reference to a backend without a weight, as mirrors and fallbacks make it. */
export const BackendObjectRef = constrain(z.strictObject(refShape), portRule);
export type BackendObjectRef = z.output<typeof BackendObjectRef>;
