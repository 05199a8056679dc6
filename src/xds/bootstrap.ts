import type { GatewayKey } from "./xds-table.ts";

export interface BootstrapParts {
  readonly gateway: GatewayKey;
  /** Names the proxy among those of its Gateway. */
  readonly proxy: string;
  /** Where the controller serves xDS. */
  readonly controller: { readonly address: string; readonly port: number };
  /** A file that stands for a socket, or an address: who can reach it can stop the proxy. */
  readonly admin: { readonly path: string } | { readonly address: string; readonly port: number };
  readonly maxConnections: number;
}

const XDS = "xds";
const PING = { interval: "30s", timeout: "5s" } as const;
const HTTP2 = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const typed = (type: string, value: object): object => ({ "@type": `type.googleapis.com/${type}`, ...value });
const socket = (address: string, port: number): object => ({ socket_address: { address, port_value: port } });

/** Larger than any pattern that a route may have, whatever RE2 makes of it: routes are checked before they get here. */
const LARGEST_PATTERN = 100_000;

/** Of Envoy's many switches those that it needs to do what the embedded gateway does. */
const RUNTIME = {
  "re2.max_program_size.error_level": LARGEST_PATTERN,
  // A header that comes several times is compared as joined, as docs/api.md says.
  "envoy.reloadable_features.match_headers_individually": false,
  // Whoever sends a chunk with odd bytes has another idea of where it ends.
  "envoy.reloadable_features.strict_chunk_parsing": true,
} as const;

/** What Envoy is started with: all that it cannot be told over xDS. Everything else it asks the controller for. */
export function bootstrap({ gateway, proxy, controller, admin, maxConnections }: BootstrapParts): object {
  const name = gateway.slice("Gateway/".length);
  const ads = { api_type: "DELTA_GRPC", transport_api_version: "V3", set_node_on_first_message_only: true };
  return {
    node: { id: proxy, cluster: name },
    admin: { address: "path" in admin ? { pipe: { path: admin.path } } : socket(admin.address, admin.port) },
    dynamic_resources: {
      ads_config: { ...ads, grpc_services: [{ envoy_grpc: { cluster_name: XDS } }] },
      lds_config: { ads: {}, resource_api_version: "V3", initial_fetch_timeout: "0s" },
      cds_config: { ads: {}, resource_api_version: "V3", initial_fetch_timeout: "0s" },
    },
    static_resources: {
      clusters: [
        {
          name: XDS,
          type: "STRICT_DNS",
          connect_timeout: "5s",
          typed_extension_protocol_options: {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
              "@type": HTTP2,
              explicit_http_config: { http2_protocol_options: { connection_keepalive: PING } },
            },
          },
          load_assignment: {
            cluster_name: XDS,
            endpoints: [{ lb_endpoints: [{ endpoint: { address: socket(controller.address, controller.port) } }] }],
          },
        },
      ],
    },
    // For routes on trial: a listener that nothing binds.
    bootstrap_extensions: [
      {
        name: "envoy.bootstrap.internal_listener",
        typed_config: typed("envoy.extensions.bootstrap.internal_listener.v3.InternalListener", {}),
      },
    ],
    layered_runtime: { layers: [{ name: "serviceroute", static_layer: RUNTIME }] },
    overload_manager: {
      resource_monitors: [
        {
          name: "envoy.resource_monitors.global_downstream_max_connections",
          typed_config: typed(
            "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
            { max_active_downstream_connections: maxConnections },
          ),
        },
      ],
    },
  };
}
