import type { Key } from "../api/keys.ts";
import { type Transport, authorityOf } from "./endpoints.ts";

declare const listener: unique symbol;
/** `namespace/gateway/listener`; the built-in gateway's namespace is empty. */
export type ListenerId = string & { readonly [listener]: true };

export function listenerId(gateway: Key<"Gateway">, name: string): ListenerId {
  return `${gateway.slice("Gateway/".length)}/${name}` as ListenerId;
}

/** A listener's name comes last in its id, and has no slash. */
export const gatewayOfListener = (id: ListenerId): Key<"Gateway"> =>
  `Gateway/${id.slice(0, id.lastIndexOf("/"))}` as Key<"Gateway">;

/** The key that stands for the built-in gateway; no object can have it, because a Gateway always has a namespace. */
export const BUILTIN_GATEWAY = "Gateway//builtin" as Key<"Gateway">;

/** Secret bytes that no dump, log or debug page can show. */
export class PrivateKey {
  readonly #pem: string;
  constructor(pem: string) {
    this.#pem = pem;
  }
  reveal(): string {
    return this.#pem;
  }
  equals(other: PrivateKey): boolean {
    return this.#pem === other.#pem;
  }
  toJSON(): string {
    return "[redacted]";
  }
  toString(): string {
    return "[redacted]";
  }
}

export interface Certificate {
  readonly secret: string;
  readonly chain: string;
  readonly key: PrivateKey;
  /** DNS names that the certificate is for, lower-case, wildcards included. */
  readonly names: readonly string[];
  /** Milliseconds since 1970. */
  readonly validFrom: number;
  readonly validTo: number;
}

/** One listener of one Gateway, as a data plane serves it. */
export interface Listener {
  readonly id: ListenerId;
  readonly gateway: Key<"Gateway">;
  readonly name: string;
  /** IP address to bind. */
  readonly address: string;
  /** The port that clients and routes know. */
  readonly port: number;
  /** The port that is bound: another one behind a Service. */
  readonly bindPort: number;

  /** Short and different for anything that decides what this listener serves: by it replicas know that they serve the same. */
  readonly digest: string;
  readonly protocol: "HTTP" | "HTTPS" | "TCP" | "TLS" | "UDP";
  /** Lower-case, or `*`. */
  readonly hostname: string;
  /** Empty for TLS that is passed on as it is. */
  readonly certificates: readonly Certificate[];
}

/** UDP has ports of its own: on one number there may be listeners of both. */
export const transportOf = (protocol: string): Transport => (protocol === "UDP" ? "UDP" : "TCP");

/** The socket that a listener shares with the others of equal transport, address and port; `/UDP` ends those of UDP. */
export function socketOf({
  address,
  bindPort,
  protocol,
}: Pick<Listener, "address" | "bindPort"> & { readonly protocol: string }): string {
  const authority = authorityOf({ address, port: bindPort });
  return transportOf(protocol) === "TCP" ? authority : `${authority}/UDP`;
}
