import type { DesiredCondition } from "../api/condition.ts";
import type { ParentRef, ServiceRouteStatus } from "../api/service-route.ts";

/** A status as it should be; the writer adds transition times. */
export interface DesiredRouteStatus {
  readonly generation: number;
  readonly conditions: readonly DesiredCondition[];
  readonly parents: readonly {
    readonly parentRef: ParentRef;
    readonly controllerName: string;
    readonly conditions: readonly DesiredCondition[];
  }[];
  readonly rules: NonNullable<ServiceRouteStatus["rules"]>;
  readonly summary: NonNullable<ServiceRouteStatus["summary"]>;
}

/** Where clients reach a Gateway; a name where that is all that a load balancer tells. */
export interface GatewayAddress {
  readonly type: "IPAddress" | "Hostname";
  readonly value: string;
}

export interface DesiredGatewayStatus {
  readonly generation: number;
  readonly addresses: readonly GatewayAddress[];
  readonly conditions: readonly DesiredCondition[];
  readonly listeners: readonly {
    readonly name: string;
    readonly attachedRoutes: number;
    readonly supportedKinds: readonly { readonly group: string; readonly kind: string }[];
    readonly conditions: readonly DesiredCondition[];
  }[];
}
