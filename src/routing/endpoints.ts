declare const endpoints: unique symbol;

/** `namespace/service:port`: the Service port whose endpoints a backend uses. */
export type EndpointsKey = string & { readonly [endpoints]: true };

export function endpointsKey(namespace: string, service: string, port: number): EndpointsKey {
  return [namespace, "/", service, ":", port].join("") as EndpointsKey;
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
