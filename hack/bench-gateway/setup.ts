/** What the benchmark's gateways are told: the same hosts and paths for all, each in its own language. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export const HOST = "h0.example.com";
/** Of the scenario with many routes. */
export const HOSTS = 200;
export const ROUTES = 1000;
/** Where gRPC calls go, which have a backend of their own. */
export const GRPC_PREFIX = "/bench.Echo";

export interface Backends {
  readonly http: number;
  /** HTTP/2 in clear. */
  readonly grpc: number;
}

/** Where a gateway listens. */
export interface Ports {
  readonly http: number;
  readonly https: number;
}

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export function certificateIn(folder: string): Certificate {
  const [cert, key] = [join(folder, "tls.crt"), join(folder, "tls.key")];
  const subject = ["-subj", `/CN=${HOST}`, "-addext", `subjectAltName=DNS:${HOST}`];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const args = ["req", "-x509", ...curve, "-keyout", key, "-out", cert, "-days", "2", ...subject];
  execFileSync("openssl", args, { stdio: "ignore" });
  return { cert, key };
}

export const manyHosts = (): string[] => Array.from({ length: HOSTS }, (_, i) => `m${i}.example.com`);

/** Of the i-th of many routes: the one that is asked for has the shortest path of its host, and comes last. */
function pathsOf(i: number): readonly string[] {
  const nth = Math.floor(i / HOSTS);
  return nth === 0 ? ["/"] : [`/other-${nth}`, `/more-${nth}`];
}

const route = (name: string, hostname: string, paths: readonly string[], service = "web"): object => ({
  apiVersion: "serviceroute.dev/v1alpha1",
  kind: "ServiceRoute",
  metadata: { name },
  spec: {
    hostnames: [hostname],
    rules: paths.map((value) => ({ matches: [{ path: { value } }], backendRefs: [{ name: service, port: 80 }] })),
  },
});

const service = (name: string, port: number, appProtocol: string): object[] => [
  { apiVersion: "v1", kind: "Service", metadata: { name }, spec: { ports: [{ port: 80, appProtocol }] } },
  {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${name}-1`, labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    ports: [{ port }],
    endpoints: [{ addresses: ["127.0.0.1"] }],
  },
];

export function writeManifests(file: string, { http, grpc }: Backends): void {
  const objects = [
    ...service("web", http, "http"),
    ...service("grpc", grpc, "kubernetes.io/h2c"),
    route("one", HOST, ["/"]),
    route("grpc", HOST, [GRPC_PREFIX], "grpc"),
    ...Array.from({ length: ROUTES }, (_, i) => route(`many-${i}`, `m${i % HOSTS}.example.com`, pathsOf(i))),
  ];
  writeFileSync(file, objects.map((one) => JSON.stringify(one)).join("\n---\n"));
}

const HTTP_MANAGER =
  "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/** @source Envoy's documentation of v3 static configuration. */
export function writeEnvoyConfig(file: string, ports: Ports, backends: Backends, { cert, key }: Certificate): void {
  const to = (prefix: string, cluster = "web"): object => ({ match: { prefix }, route: { cluster, timeout: "0s" } });
  const virtualHosts = [
    { name: HOST, domains: [HOST], routes: [to(`${GRPC_PREFIX}/`, "grpc"), to("/")] },
    ...manyHosts().map((name, host) => ({
      name,
      domains: [name],
      routes: Array.from({ length: ROUTES / HOSTS }, (_, nth) => pathsOf(nth * HOSTS + host).map((path) => to(path)))
        .reverse()
        .flat(),
    })),
  ];
  const manager = {
    "@type": HTTP_MANAGER,
    stat_prefix: "bench",
    codec_type: "AUTO",
    upgrade_configs: [{ upgrade_type: "websocket" }],
    http_filters: [
      {
        name: "router",
        typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
      },
    ],
    route_config: { virtual_hosts: virtualHosts },
  };
  const filters = [{ name: "http", typed_config: manager }];
  const at = (port: number): object => ({ socket_address: { address: "127.0.0.1", port_value: port } });
  const tls = {
    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    common_tls_context: {
      alpn_protocols: ["h2", "http/1.1"],
      tls_certificates: [{ certificate_chain: { filename: cert }, private_key: { filename: key } }],
    },
  };
  const cluster = (name: string, port: number, more: object = {}): object => ({
    name,
    type: "STATIC",
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: at(port) } }] }],
    },
    ...more,
  });
  const http2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
      "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
      explicit_http_config: { http2_protocol_options: {} },
    },
  };
  const config = {
    static_resources: {
      listeners: [
        { name: "http", address: at(ports.http), filter_chains: [{ filters }] },
        {
          name: "https",
          address: at(ports.https),
          filter_chains: [{ filters, transport_socket: { name: "tls", typed_config: tls } }],
        },
      ],
      clusters: [
        cluster("web", backends.http),
        cluster("grpc", backends.grpc, { typed_extension_protocol_options: http2 }),
      ],
    },
  };
  writeFileSync(file, JSON.stringify(config));
}

/** @source Caddy's documentation of the Caddyfile. */
export function writeCaddyfile(file: string, ports: Ports, backends: Backends, { cert, key }: Certificate): void {
  const sites = `
	@grpc path ${GRPC_PREFIX}/*
	reverse_proxy @grpc h2c://127.0.0.1:${backends.grpc}
	reverse_proxy 127.0.0.1:${backends.http}`;
  writeFileSync(
    file,
    `{
	admin off
	auto_https off
	servers {
		protocols h1 h2 h2c
	}
}
http://:${ports.http} {
	bind 127.0.0.1${sites}
}
https://:${ports.https} {
	bind 127.0.0.1
	tls ${cert} ${key}${sites}
}
`,
  );
}
