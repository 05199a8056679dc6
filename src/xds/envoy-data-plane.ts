import { ServerCredentials } from "@grpc/grpc-js";
import type { ListenerId } from "../routing/listener.ts";
import type { ListenerState, Served } from "../routing/programmed.ts";
import type { RouteKey, RoutingTableView, TableDiff } from "../routing/routing-table.ts";
import type { Logger } from "../telemetry/logger.ts";
import { AdsServer, type Proxy } from "./ads/ads-server.ts";
import type { Resources } from "./ads/delta-stream.ts";
import { GatewayProxies } from "./gateway-proxies.ts";
import { ListenerStates } from "./listener-states.ts";
import type { ProxyOptions } from "./options.ts";
import { refusalText } from "./refusal-text.ts";
import type { Resource, ResourceId, ResourceType } from "./resources/resource.ts";
import { ServedRoutes } from "./served-routes.ts";
import { type Changes, type GatewayKey, XdsTable } from "./xds-table.ts";

export interface ProxyEvents {
  readonly listenerState: (id: ListenerId, state: ListenerState | undefined) => void;
  /** How many of each Gateway's proxies serve a route as it was published last. */
  readonly routeServed: (key: RouteKey, byGateway: ReadonlyMap<GatewayKey, Served>) => void;
}

interface Parts {
  readonly table: RoutingTableView;
  readonly options: ProxyOptions;
  readonly log: Logger;
  readonly events: ProxyEvents;
}

const BIND_AGAIN_MS = 5000;
/** Longer than Envoy lets connections go by a listener that has changed: its drain time, 600 s unless it is told otherwise. */
const FORMER_LAYOUT_MS = 660_000;

/** Envoys that serve the table: any number for each Gateway, which come by themselves and ask. */
export class EnvoyDataPlane {
  readonly isRemote = true;
  readonly #log: Logger;
  readonly #xds: XdsTable;
  readonly #server: AdsServer;
  readonly #served: ServedRoutes;
  readonly #listeners: ListenerStates;
  readonly #gateways = new Map<GatewayKey, GatewayProxies>();
  readonly #routeServed: ProxyEvents["routeServed"];
  readonly #waiting: (() => void)[] = [];
  #isOpen = false;
  #opening: NodeJS.Immediate | undefined;
  #retiring: NodeJS.Timeout | undefined;

  constructor({ table, options, log, events }: Parts) {
    this.#log = log;
    this.#routeServed = (key, byGateway) => events.routeServed(key, byGateway);
    this.#xds = new XdsTable(options);
    const proxiesOf = (gateway: GatewayKey): Proxy[] => this.proxies.filter((proxy) => proxy.gateway === gateway);
    this.#served = new ServedRoutes({
      proxiesOf,
      serves: (proxy, id, since) => this.#serves(proxy, id, since),
      said: this.#routeServed,
    });
    this.#listeners = new ListenerStates({
      listeners: table.listeners,
      proxiesOf,
      resourceOf: (gateway, id) => this.#xds.resources(gateway)?.get(id),
      told: (id, state) => events.listenerState(id, state),
    });
    this.#server = new AdsServer((gateway) => this.#view(gateway), {
      joined: (proxy) => this.#joined(proxy),
      left: (proxy) => this.#left(proxy),
      taken: (proxy, type, resources) => this.#taken(proxy, type, resources),
      refused: (proxy, resource, message) => this.#refused(proxy, resource, message),
      impostor: (proxy, gateway) => log.warn({ proxy, gateway }, "a proxy without a certificate for its Gateway"),
    });
  }

  get proxies(): readonly Proxy[] {
    return [...this.#server.proxies];
  }

  /**
   * @param credentials  What we show and whom we believe: over TLS a certificate says whose proxy one is.
   * @returns The port that proxies find us at.
   */
  async listen(address: string, credentials = ServerCredentials.createInsecure()): Promise<number> {
    return this.#server.listen(address, credentials);
  }

  publish(diff: TableDiff): void {
    const changes = this.#xds.apply(diff);
    if (this.#isOpen) this.#send(changes);
    else this.#openSoon();
    for (const [key, route] of diff.routes)
      if (route === undefined) this.#gone(key);
      else this.#served.published(key, this.#xds.resourcesOf(route), this.#xds.now);
    this.#listeners.published(diff.listeners.keys());
    if (this.#xds.takeSwitched()) this.#retireLater();
  }

  #gone(key: RouteKey): void {
    this.#served.forget(key);
    this.#routeServed(key, new Map());
  }

  /** Not at once: what is published first is an empty table, and the real one before anything else can happen. */
  #openSoon(): void {
    this.#opening ??= setImmediate(() => {
      this.#isOpen = true;
      this.#server.opened();
    });
  }

  #retireLater(): void {
    clearTimeout(this.#retiring);
    this.#retiring = setTimeout(() => this.#send(this.#xds.retire()), FORMER_LAYOUT_MS).unref();
  }

  #send(changes: Changes): void {
    for (const [gateway, change] of changes) this.#server.changed(gateway, change.keys());
  }

  /** The table is in the resources at once; when proxies have them is said of each route. */
  whenServed(served: () => void): void {
    served();
  }

  /** Resolves when every proxy has taken everything. */
  async settled(): Promise<void> {
    if (this.#isSettled()) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  problem(): string {
    return "";
  }

  async drain(): Promise<void> {
    this.#server.close();
    return Promise.resolve();
  }

  #view(gateway: GatewayKey): Resources | undefined {
    return this.#isOpen ? this.#proxiesOf(gateway).view : undefined;
  }

  #proxiesOf(gateway: GatewayKey): GatewayProxies {
    let proxies = this.#gateways.get(gateway);
    if (proxies === undefined) {
      proxies = new GatewayProxies({
        gateway,
        xds: this.#xds,
        proxies: () => this.proxies.filter((one) => one.gateway === gateway),
        changed: (ids) => setImmediate(() => this.#server.changed(gateway, ids)),
        convicted: (routes) => this.#convicted(gateway, routes),
      });
      this.#gateways.set(gateway, proxies);
    }
    return proxies;
  }

  /** They stay as proxies took them last, and all others go on. */
  #convicted(gateway: GatewayKey, routes: ReadonlyMap<RouteKey, string>): void {
    for (const [key, why] of routes) {
      this.#log.warn({ route: key, gateway, problem: why }, "proxies refuse a route");
      this.#served.refused(key, gateway, why);
    }
    const changes = this.#xds.recall(routes.keys());
    setImmediate(() => this.#send(changes));
  }

  #serves({ gateway, stream }: Proxy, id: ResourceId, since: number): boolean {
    const current = this.#xds.resources(gateway)?.get(id);
    const taken = stream.taken(id);
    if (current === undefined) return true;
    return taken !== undefined && (taken.version === current.version || this.#xds.madeAt(taken) >= since);
  }

  #joined(proxy: Proxy): void {
    this.#log.info({ proxy: proxy.id, gateway: proxy.gateway }, "a proxy has come");
    this.#served.joined(proxy);
    this.#listeners.heard(proxy.gateway);
  }

  #left(proxy: Proxy): void {
    this.#log.info({ proxy: proxy.id, gateway: proxy.gateway }, "a proxy has gone");
    this.#served.left(proxy);
    this.#listeners.left(proxy);
    this.#listeners.heard(proxy.gateway);
    if (!this.proxies.some(({ gateway }) => gateway === proxy.gateway)) this.#deserted(proxy.gateway);
    this.#settle();
  }

  #deserted(gateway: GatewayKey): void {
    this.#gateways.get(gateway)?.deserted();
    this.#gateways.delete(gateway);
  }

  #taken(proxy: Proxy, type: ResourceType, resources: readonly Resource[]): void {
    this.#proxiesOf(proxy.gateway).taken(resources);
    this.#served.taken(proxy, resources);
    if (type === "Listener") this.#listeners.taken(proxy, resources);
    this.#settle();
  }

  #refused(proxy: Proxy, resource: Resource, message: string): void {
    const { type, name } = resource;
    const problem = refusalText(message);
    this.#log.error({ proxy: proxy.id, type, resource: name, problem }, "a proxy refuses what it was sent");
    this.#proxiesOf(proxy.gateway).refused(proxy, resource, message);
    if (type === "Listener") this.#listenerRefused(proxy, resource, problem);
    this.#settle();
  }

  /** A port that is taken may be free later: the same listener is tried again. */
  #listenerRefused(proxy: Proxy, resource: Resource, problem: string): void {
    this.#listeners.refused(proxy, resource, problem);
    setTimeout(() => {
      proxy.stream.again(resource);
      this.#server.changed(proxy.gateway, [resource.id]);
    }, BIND_AGAIN_MS).unref();
  }

  #isSettled(): boolean {
    return this.proxies.length > 0 && this.proxies.every(({ stream }) => stream.isSettled);
  }

  /** Later: what has just been answered may lead to more being sent. */
  #settle(): void {
    setImmediate(() => {
      if (this.#isSettled()) for (const resolve of this.#waiting.splice(0)) resolve();
    });
  }
}
