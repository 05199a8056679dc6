declare const endpoints: unique symbol;

/** What carries connections, or datagrams, between two ends. */
export type Transport = "TCP" | "UDP";

/** `namespace/service:port`, and `/UDP` after it for datagrams: the Service port whose endpoints a backend uses. */
export type EndpointsKey = string & { readonly [endpoints]: true };

export function endpointsKey(
  namespace: string,
  service: string,
  port: number,
  transport: Transport = "TCP",
): EndpointsKey {
  const suffix = transport === "TCP" ? "" : `/${transport}`;
  return [namespace, "/", service, ":", port, suffix].join("") as EndpointsKey;
}

export function partsOfEndpointsKey(key: EndpointsKey): {
  readonly namespace: string;
  readonly service: string;
  readonly port: number;
  readonly transport: Transport;
} {
  const [namespace = "", rest = "", transport = "TCP"] = key.split("/");
  const [service = "", port = ""] = rest.split(":");
  return { namespace, service, port: Number(port), transport: transport as Transport };
}

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** The endpoints of one Service port. Equal content is the same object. */
export interface EndpointSet {
  readonly key: EndpointsKey;
  /** Where new requests go: every ready endpoint; if none is ready, those serving while they terminate (KEP-1669). */
  readonly usable: readonly Endpoint[];
  readonly ready: number;
  readonly draining: number;
  readonly total: number;
  /** Addresses that were dropped because no backend may have them, for a condition. */
  readonly dropped: readonly string[];
}

export function authorityOf({ address, port }: Endpoint): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
