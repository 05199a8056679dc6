import { createHash } from "node:crypto";
import { type Key, displayName, keyOf, partsOf } from "../api/keys.ts";
import type { KubeObject } from "../api/objects.ts";
import type { Transport } from "../routing/endpoints.ts";
import { containerPorts } from "../routing/service-ports.ts";
import type { GatewayAddress } from "../routing/status-report.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";

const SUFFIX = "-serviceroute";
const LONGEST_NAME = 63;

/** The Service of a Gateway: its name with ours, and a digest where that is no name of a Service, or too long for one. */
export function serviceNameOf(gateway: Key<"Gateway">): string {
  const { name } = partsOf(gateway);
  const plain = `${name}${SUFFIX}`;
  if (/^[a-z][a-z0-9-]*$/.test(name) && plain.length <= LONGEST_NAME) return plain;
  const digest = createHash("sha256").update(name).digest("hex").slice(0, 8);
  const start = /^[a-z]/.test(name) ? name : `g-${name}`;
  const room = LONGEST_NAME - SUFFIX.length - digest.length - 1;
  return `${start.replaceAll(".", "-").slice(0, room)}-${digest}${SUFFIX}`;
}

const NOTHING_BOUND = { TCP: new Map<number, number>(), UDP: new Map<number, number>() } as const;

export type ServiceWord =
  | {
      readonly ok: true;
      /** Port of the Gateway → container port: the same for all replicas. */
      readonly bindPorts: Readonly<Record<Transport, ReadonlyMap<number, number>>>;
      readonly addresses: readonly GatewayAddress[];
    }
  | { readonly ok: false; readonly message: string };

/** What a Gateway's Service says of where clients come in and where its listeners are bound: nothing while there is none. */
export function serviceSays(snapshot: ClusterSnapshot, gateway: Key<"Gateway">): ServiceWord {
  const { namespace } = partsOf(gateway);
  const key = keyOf("Service", namespace, serviceNameOf(gateway));
  const service = snapshot.get(key);
  if (service === undefined) return { ok: true, bindPorts: NOTHING_BOUND, addresses: [] };
  if (service.metadata.gatewayUid !== snapshot.get(gateway)?.metadata.uid)
    return {
      ok: false,
      message: `Service ${displayName(key)} is there already and not this Gateway's; remove it or rename the Gateway`,
    };
  const { gatewayUid: uid = "" } = service.metadata;
  const ports = service.spec?.ports;
  return {
    ok: true,
    bindPorts: { TCP: containerPorts(uid, ports), UDP: containerPorts(uid, ports, "UDP") },
    addresses: addressesOf(service),
  };
}

function addressesOf({ spec, status }: KubeObject<"Service">): GatewayAddress[] {
  const balanced = (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, hostname }): GatewayAddress[] => {
    if (ip !== undefined) return [{ type: "IPAddress", value: ip }];
    return hostname === undefined ? [] : [{ type: "Hostname", value: hostname }];
  });
  if (balanced.length > 0) return balanced;
  const own = spec?.clusterIP;
  return own === undefined || own === "None" ? [] : [{ type: "IPAddress", value: own }];
}
