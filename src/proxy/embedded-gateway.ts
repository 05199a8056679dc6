import { randomUUID } from "node:crypto";
import type { Duplex } from "node:stream";
import { isDeepStrictEqual } from "node:util";
import { type Listener, type ListenerId, socketOf } from "../routing/listener.ts";
import type { ListenerState } from "../routing/programmed.ts";
import type { ClusterNews } from "../routing/cluster-news.ts";
import type { RoutingTableView, TableDiff } from "../routing/routing-table.ts";
import { Clusters } from "./upstream/clusters.ts";
import type { GatewayContext, GatewayObserver, GatewayOptions } from "./gateway-context.ts";
import { OpenLimit } from "./open-limit.ts";
import { OwnEnds } from "./own-ends.ts";
import { Overload } from "./overload.ts";
import { serve } from "./serve.ts";
import type { BoundServer, SharedPorts, SocketHandlers } from "./downstream/bound-server.ts";
import { TcpServer } from "./tcp/tcp-server.ts";
import { SocketServer } from "./downstream/socket-server.ts";
import { UdpServer } from "./udp/udp-server.ts";
import type { Tracer } from "./request-record.ts";
import { TlsContexts } from "./downstream/tls-contexts.ts";

export interface GatewaySettings extends GatewayOptions {
  readonly observe: GatewayObserver;
  readonly random: () => number;
  readonly tracer: Tracer | undefined;
  /** What copies of requests are marked with, the same in all processes of one gateway; absent: one of its own. */
  readonly identity?: string;
  /** 48 bytes by which TLS sessions are resumed, the same in all processes; absent: some of its own. */
  readonly ticketKeys?: Buffer;
  /** Of the gateway, this one included. */
  readonly processes?: number;
  /** Tells the other processes of the gateway what has become of a backend; absent: there are none. */
  readonly tell?: (news: ClusterNews) => void;
  /** Absent: ports are for this process alone. */
  readonly ports?: SharedPorts;
  /** Told of what becomes of each listener. */
  readonly onListenerState: (id: ListenerId, state: ListenerState | undefined) => void;
}

/** The data plane in this process: serves the table that it is given, which somebody else keeps up to date. */
export class EmbeddedGateway {
  readonly #table: RoutingTableView;
  readonly #settings: GatewaySettings;
  readonly #context: GatewayContext;
  readonly #tls = new TlsContexts();
  readonly #connections: OpenLimit;
  readonly #servers = new Map<string, { server: BoundServer; state: ListenerState | undefined }>();
  /** Those whose listeners are gone, and which still have connections. */
  readonly #retired = new Set<BoundServer>();
  readonly #known = new Map<ListenerId, string>();
  #isDraining = false;

  constructor(table: RoutingTableView, settings: GatewaySettings) {
    this.#table = table;
    this.#settings = settings;
    const { observe, random, tracer, identity = randomUUID(), tell, processes = 1, ...options } = settings;
    this.#connections = new OpenLimit(options.maxConnections);
    this.#context = {
      table,
      clusters: new Clusters({ random, healthChanged: (change) => observe.endpointHealth(change), tell, processes }),
      options,
      overload: new Overload(options.maxEventLoopDelayMs),
      bodies: new OpenLimit(options.maxConnections),
      observe,
      random,
      tracer,
      identity,
      mirrors: new Set(),
      ownEnds: new OwnEnds(),
    };
  }

  /** Follows a diff that the table already has. Open connections stay: only sockets without a listener are closed. */
  publish(diff: TableDiff): void {
    this.#context.clusters.update(diff.endpoints);
    if (diff.listeners.size === 0) return;
    for (const [name, { server }] of this.#servers) {
      const [first] = this.#table.listenersOn(name);
      if (first?.protocol !== server.protocol) this.#close(name);
      else server.useDefault(first.certificates[0]);
    }
    for (const [id, listener] of diff.listeners) this.#follow(id, listener);
    for (const listener of diff.listeners.values()) if (listener !== undefined) this.#open(listener);
  }

  whenServed(served: () => void): void {
    served();
  }

  problem(): string {
    return "";
  }

  /** What another process of the gateway tells; its number is `from`. */
  heard(from: number, news: ClusterNews): void {
    this.#context.clusters.heard(from, news, this.#table.endpoints.get(news.cluster.endpoints));
  }

  /** A process of the gateway has gone. */
  forget(process: number): void {
    this.#context.clusters.forget(process);
  }

  /** See {@link OpenLimit.allow}. */
  allowConnections(most: number): number {
    return this.#connections.allow(most);
  }

  /** Connections of clients that are open now. */
  get connections(): number {
    return this.#connections.open;
  }

  /** Clients of UDP listeners that have an endpoint now. */
  get sessions(): number {
    const servers = [...this.#servers.values()].map(({ server }) => server);
    return servers.reduce((sum, server) => sum + (server instanceof UdpServer ? server.sessions : 0), 0);
  }

  /** Lets requests in flight end, for at most `limitMs`; then cuts what is left. */
  async drain(limitMs: number): Promise<void> {
    this.#isDraining = true;
    const servers = [...[...this.#servers.values()].map(({ server }) => server), ...this.#retired];
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise((resolve) => (timer = setTimeout(resolve, limitMs)));
    await Promise.race([Promise.all(servers.map((server) => server.drain())), limit]);
    clearTimeout(timer);
    for (const server of servers) server.destroy();
    for (const mirror of this.#context.mirrors) mirror.abandon("Reset");
    this.#context.overload.stop();
    this.#context.clusters.close();
  }

  #follow(id: ListenerId, listener: Listener | undefined): void {
    if (listener === undefined) {
      this.#known.delete(id);
      this.#settings.onListenerState(id, undefined);
      return;
    }
    this.#known.set(id, socketOf(listener));
    const state = this.#servers.get(socketOf(listener))?.state;
    if (state !== undefined) this.#settings.onListenerState(id, state);
  }

  #open(listener: Listener): void {
    const name = socketOf(listener);
    if (this.#servers.has(name) || this.#isDraining) return;
    const handlers: SocketHandlers = {
      admits: (connection) => this.#admits(connection),
      arrive: (downstream) => serve(this.#context, downstream),
      defect: (error) => this.#settings.observe.defect(error),
      listeners: () => this.#table.listenersOn(name),
      changed: (state) => this.#changed(name, server, state),
      ports: this.#settings.ports,
    };
    const server = this.#serverFor(listener, handlers);
    this.#servers.set(name, { server, state: undefined });
    server.useDefault(this.#table.listenersOn(name)[0]?.certificates[0]);
    server.listen();
  }

  /** One too many is closed, at no cost but that of its being accepted. */
  #admits(connection: Duplex): boolean {
    if (this.#connections.admits((gone) => connection.once("close", gone))) return true;
    connection.destroy();
    this.#settings.observe.connectionRejected();
    return false;
  }

  #serverFor(listener: Listener, handlers: SocketHandlers): BoundServer {
    switch (listener.protocol) {
      case "UDP":
        return new UdpServer(listener, this.#context, handlers);
      case "TCP":
      case "TLS":
        return new TcpServer(listener, this.#tls, this.#context, handlers);
      case "HTTP":
      case "HTTPS":
        return new SocketServer(listener, this.#tls, this.#settings, handlers);
    }
  }

  #changed(name: string, server: BoundServer, state: ListenerState): void {
    const entry = this.#servers.get(name);
    if (entry?.server !== server || isDeepStrictEqual(entry.state, state)) return;
    entry.state = state;
    for (const [id, socket] of this.#known) if (socket === name) this.#settings.onListenerState(id, state);
  }

  #close(name: string): void {
    const entry = this.#servers.get(name);
    this.#servers.delete(name);
    if (entry === undefined) return;
    const { server } = entry;
    this.#retired.add(server);
    void server.drain().then(() => this.#retired.delete(server));
    // Its connections may stay for long, but nobody new gets in.
    this.#settings.ports?.release(name);
  }
}
