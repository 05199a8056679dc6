import type { Identity } from "./certificate.ts";

/** Names of SPIFFE, which Envoy and others know how to match. */
const TRUST_DOMAIN = "spiffe://serviceroute.dev";

export const CONTROLLER_URI = `${TRUST_DOMAIN}/controller`;

/** @param gateway  `namespace/name`; the namespace of the built-in gateway is empty. */
export const proxyUri = (gateway: string): string => `${TRUST_DOMAIN}/gateway/${gateway}`;

export const proxyIdentity = (gateway: string): Identity => ({
  commonName: "serviceroute-proxy",
  uri: proxyUri(gateway),
  usage: "client",
});

export const controllerIdentity = (dns: readonly string[]): Identity => ({
  commonName: "serviceroute-controller",
  uri: CONTROLLER_URI,
  dns,
  usage: "server",
});
