import { Server, type ServerCredentials, type ServerDuplexStream, type ServiceDefinition, status } from "@grpc/grpc-js";
import { proxyUri } from "../../pki/identity.ts";
import type { Resource, ResourceId, ResourceType } from "../resources/resource.ts";
import type { GatewayKey } from "../xds-table.ts";
import { type DeltaResponse, DeltaStream, type ResourceView } from "./delta-stream.ts";
import { type ReadRequest, readDeltaRequest, writeDeltaResponse } from "./wire.ts";

/** A reconnecting proxy names everything that it has in one request. */
const LARGEST_REQUEST = 64 * 1024 * 1024;
const PING_MS = 30_000;
const PONG_MS = 10_000;
/** How often what waits for its clusters is looked at again. */
const WAITING_MS = 500;

const DELTA: ServiceDefinition = {
  deltaAggregatedResources: {
    path: "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
    requestStream: true,
    responseStream: true,
    requestSerialize: () => Buffer.alloc(0),
    requestDeserialize: readDeltaRequest,
    responseSerialize: writeDeltaResponse,
    responseDeserialize: (bytes) => bytes,
  },
};

type Call = ServerDuplexStream<ReadRequest, DeltaResponse>;

/** A proxy that has a stream. */
export interface Proxy {
  readonly id: string;
  readonly gateway: GatewayKey;
  readonly stream: DeltaStream;
}

export interface AdsEvents {
  readonly joined: (proxy: Proxy) => void;
  readonly left: (proxy: Proxy) => void;
  readonly taken: (proxy: Proxy, type: ResourceType, resources: readonly Resource[]) => void;
  readonly refused: (proxy: Proxy, resource: Resource, message: string) => void;
  /** Somebody with a certificate of other proxies, or of none, asked for what is this Gateway's. */
  readonly impostor: (id: string, gateway: GatewayKey) => void;
}

interface Connected extends Proxy {
  readonly flush: () => void;
}

/**
 * The aggregated discovery service: one stream for each proxy, which is told what its own Gateway's proxies are to have.
 * A proxy that does not read keeps nobody else waiting, because nothing is written to it that it has not asked for by
 * answering what came before.
 */
export class AdsServer {
  readonly #server = new Server({
    "grpc.max_receive_message_length": LARGEST_REQUEST,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": PING_MS,
    "grpc.keepalive_timeout_ms": PONG_MS,
  });
  readonly #viewOf: (gateway: GatewayKey) => ReturnType<ResourceView>;
  readonly #events: AdsEvents;
  readonly #proxies = new Set<Connected>();
  /** Whether a certificate says whose proxy one is; on loopback, in clear, its own word does. */
  #isSecure = false;

  constructor(viewOf: (gateway: GatewayKey) => ReturnType<ResourceView>, events: AdsEvents) {
    this.#viewOf = viewOf;
    this.#events = events;
    this.#server.addService(DELTA, { deltaAggregatedResources: (call: Call) => this.#serve(call) });
  }

  get proxies(): Iterable<Proxy> {
    return this.#proxies;
  }

  /** @returns The port. */
  async listen(address: string, credentials: ServerCredentials): Promise<number> {
    this.#isSecure = credentials._isSecure();
    return new Promise((resolve, reject) =>
      this.#server.bindAsync(address, credentials, (error, port) => (error === null ? resolve(port) : reject(error))),
    );
  }

  changed(gateway: GatewayKey, ids: Iterable<ResourceId>): void {
    const all = [...ids];
    for (const proxy of this.#proxies) {
      if (proxy.gateway !== gateway) continue;
      proxy.stream.changed(all);
      proxy.flush();
    }
  }

  /** There is something to tell at last. */
  opened(): void {
    for (const { stream, flush } of this.#proxies) {
      stream.changedAll();
      flush();
    }
  }

  close(): void {
    this.#server.forceShutdown();
  }

  #serve(call: Call): void {
    let proxy: Connected | undefined;
    const leave = (): void => {
      if (proxy === undefined || !this.#proxies.delete(proxy)) return;
      this.#events.left(proxy);
    };
    call.on("data", ({ node, request }: ReadRequest) => {
      proxy ??= this.#join(call, node);
      if (proxy === undefined) return;
      if (request === undefined) return;
      proxy.stream.request(request);
      proxy.flush();
    });
    call.on("end", () => {
      leave();
      call.end();
    });
    call.on("cancelled", leave);
    call.on("error", leave);
    call.on("close", leave);
  }

  #join(call: Call, node: ReadRequest["node"]): Connected | undefined {
    const gateway = node === undefined ? undefined : gatewayNamed(node.cluster);
    if (node === undefined || gateway === undefined)
      return refuse(call, status.INVALID_ARGUMENT, "node.cluster must be NAMESPACE/NAME of a Gateway");
    if (this.#isSecure && !mayAskFor(call, node.cluster)) {
      this.#events.impostor(node.id, gateway);
      return refuse(call, status.PERMISSION_DENIED, `the certificate is not one of a proxy of ${node.cluster}`);
    }
    const stream: DeltaStream = new DeltaStream(() => this.#viewOf(gateway), {
      taken: (type, resources) => this.#events.taken(proxy, type, resources),
      refused: (resource, message) => this.#events.refused(proxy, resource, message),
    });
    const proxy: Connected = { id: node.id, gateway, stream, flush: flushing(call, stream) };
    this.#proxies.add(proxy);
    this.#events.joined(proxy);
    return proxy;
  }
}

/** Writes what is due, and looks again later while something waits. */
function flushing(call: Call, stream: DeltaStream): () => void {
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    clearTimeout(timer);
    if (call.cancelled || call.destroyed) return;
    for (const response of stream.take(performance.now())) call.write(response);
    if (stream.isWaiting) timer = setTimeout(flush, WAITING_MS).unref();
  };
  return flush;
}

function refuse(call: Call, code: status, details: string): undefined {
  call.emit("error", { code, details });
}

/** Whether the certificate names the Gateway, and no other. */
function mayAskFor(call: Call, gateway: string): boolean {
  const names = call.getAuthContext().sslPeerCertificate?.subjectaltname?.split(", ") ?? [];
  return names.length === 1 && names[0] === `URI:${proxyUri(gateway)}`;
}

function gatewayNamed(cluster: string): GatewayKey | undefined {
  return /^[a-z0-9-]*\/[a-z0-9.-]+$/.test(cluster) ? (`Gateway/${cluster}` as GatewayKey) : undefined;
}
