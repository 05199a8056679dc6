import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TransportSocketSchema } from "../generated/envoy/config/core/v3/base_pb.js";
import {
  type FilterChainSchema,
  type FilterSchema,
  ListenerFilterSchema,
} from "../generated/envoy/config/listener/v3/listener_components_pb.js";
import { ListenerSchema } from "../generated/envoy/config/listener/v3/listener_pb.js";
import { TlsInspectorSchema } from "../generated/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js";
import { TlsParameters_TlsProtocol } from "../generated/envoy/extensions/transport_sockets/tls/v3/common_pb.js";
import { DownstreamTlsContextSchema } from "../generated/envoy/extensions/transport_sockets/tls/v3/tls_pb.js";
import { ANY_HOST } from "../../routing/hostname.ts";
import { type Listener, socketOf } from "../../routing/listener.ts";
import type { ProxyOptions } from "../options.ts";
import { ADS } from "./ads-source.ts";
import { httpConnectionManager } from "./http-connection-manager.ts";
import { type Resource, type ResourceId, encoded, resourceOf } from "./resource.ts";
import { socketAddress } from "./socket.ts";
import { durationOf, extension } from "./typed.ts";

type FilterInit = MessageInitShape<typeof FilterSchema>;
type FilterChainInit = MessageInitShape<typeof FilterChainSchema>;

const BUFFER_BYTES = 32 * 1024;
const BACKLOG = 1024;
const HANDSHAKE_MS = 10_000;

/** The certificate that fits the client's name is chosen among them by Envoy; the first is for all others. */
export function tlsSocket(
  { certificates }: Listener,
  alpnProtocols: readonly string[],
): MessageInitShape<typeof TransportSocketSchema> {
  return extension("envoy.transport_sockets.tls", DownstreamTlsContextSchema, {
    commonTlsContext: {
      tlsParams: { tlsMinimumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_2 },
      alpnProtocols: [...alpnProtocols],
      tlsCertificateSdsSecretConfigs: certificates.map(({ secret }) => ({ name: secret, sdsConfig: ADS })),
    },
  });
}

/** Which clients of a socket belong to a chain: those that name one of these servers, or all that are left. */
export function chain(
  name: string,
  serverNames: readonly string[],
  filter: FilterInit,
  tls?: MessageInitShape<typeof TransportSocketSchema>,
): FilterChainInit {
  return {
    name,
    filterChainMatch: { serverNames: serverNames.filter((host) => host !== ANY_HOST) },
    filters: [filter],
    ...(tls === undefined ? {} : { transportSocket: tls, transportSocketConnectTimeout: durationOf(HANDSHAKE_MS) }),
  };
}

/** Reads the client's name for the server from the first bytes of a connection. */
export const TLS_INSPECTOR: MessageInitShape<typeof ListenerFilterSchema> = extension(
  "envoy.filters.listener.tls_inspector",
  TlsInspectorSchema,
  {},
);

interface SocketParts {
  readonly chains: readonly FilterChainInit[];
  readonly inspectors?: readonly MessageInitShape<typeof ListenerFilterSchema>[];
  /** Clusters. */
  readonly uses?: readonly ResourceId[];
}

/** What is bound, whoever's listeners share it. */
export function boundListener(first: Listener, { chains, inspectors = [], uses = [] }: SocketParts): Resource {
  const name = socketOf(first);
  const bytes = encoded(ListenerSchema, {
    name,
    address: socketAddress(first.address, first.bindPort),
    filterChains: [...chains],
    listenerFilters: [...inspectors],
    listenerFiltersTimeout: durationOf(HANDSHAKE_MS),
    continueOnListenerFiltersTimeout: false,
    perConnectionBufferLimitBytes: BUFFER_BYTES,
    tcpBacklogSize: BACKLOG,
    enableReusePort: true,
  });
  return resourceOf("Listener", name, bytes, uses);
}

/** Whether proxies are given a listener: of HTTP, in clear or on TLS. */
export const isHttp = ({ protocol }: Listener): boolean => protocol === "HTTP" || protocol === "HTTPS";

/** The routes of an HTTPS listener that shares its socket. */
export const tableOf = (listener: Listener, shared: boolean): string =>
  shared && listener.protocol === "HTTPS" ? `${socketOf(listener)}/${listener.name}` : socketOf(listener);

/** Listeners of HTTP, or of HTTPS, that share an address and port. */
export function httpListener(
  listeners: readonly [Listener, ...Listener[]],
  isScoped: (table: string) => boolean,
  options: ProxyOptions,
): Resource {
  const [first] = listeners;
  const shared = listeners.length > 1;
  const managerOf = (listener: Listener, scheme: "http" | "https"): FilterInit => {
    const name = tableOf(listener, shared);
    return httpConnectionManager({ name, isScoped: isScoped(name) }, scheme, options);
  };
  if (first.protocol === "HTTP") return boundListener(first, { chains: [chain("http", [], managerOf(first, "http"))] });
  const alpn = options.http2 ? ["h2", "http/1.1"] : ["http/1.1"];
  const chains = listeners.map((listener) =>
    chain(listener.name, [listener.hostname], managerOf(listener, "https"), tlsSocket(listener, alpn)),
  );
  return boundListener(first, { chains, inspectors: [TLS_INSPECTOR] });
}
