import { isDeepStrictEqual } from "node:util";
import { type Listener, type ListenerId, socketOf } from "../routing/listener.ts";
import type { ListenerState } from "../routing/programmed.ts";
import type { Proxy } from "./ads/ads-server.ts";
import { isHttp } from "./resources/listener.ts";
import { type Resource, idOf } from "./resources/resource.ts";
import type { GatewayKey } from "./xds-table.ts";

interface Parts {
  readonly listeners: ReadonlyMap<ListenerId, Listener>;
  readonly proxiesOf: (gateway: GatewayKey) => readonly Proxy[];
  readonly resourceOf: (gateway: GatewayKey, id: Resource["id"]) => Resource | undefined;
  readonly told: (id: ListenerId, state: ListenerState | undefined) => void;
}

const UNSERVED = (protocol: string): string =>
  `Listeners of ${protocol} are served by the embedded gateway alone; start the controller with --data-plane embedded`;

/** What a Gateway's proxies say of its listeners: one serves when every proxy has taken it, and has failed when one cannot bind it. */
export class ListenerStates {
  readonly #parts: Parts;
  readonly #last = new Map<ListenerId, ListenerState | undefined>();
  /** The version that all proxies had at some time: who comes later takes nothing back. */
  readonly #served = new Map<ListenerId, string>();
  /** Why a proxy does not take a listener, by its version: another one may do. */
  readonly #refused = new Map<Proxy, Map<string, string>>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** These are gone, new or others. */
  published(ids: Iterable<ListenerId>): void {
    for (const id of ids) {
      this.#last.delete(id);
      const listener = this.#parts.listeners.get(id);
      if (listener !== undefined) this.#look(listener);
      else {
        this.#served.delete(id);
        this.#parts.told(id, undefined);
      }
    }
  }

  /** Something has been heard of a Gateway's proxies. */
  heard(gateway: GatewayKey): void {
    for (const listener of this.#parts.listeners.values()) if (listener.gateway === gateway) this.#look(listener);
  }

  taken(proxy: Proxy, resources: readonly Resource[]): void {
    for (const { version } of resources) this.#refused.get(proxy)?.delete(version);
    this.heard(proxy.gateway);
  }

  refused(proxy: Proxy, { version }: Resource, message: string): void {
    const refused = this.#refused.get(proxy);
    if (refused === undefined) this.#refused.set(proxy, new Map([[version, message]]));
    else refused.set(version, message);
    this.heard(proxy.gateway);
  }

  left(proxy: Proxy): void {
    this.#refused.delete(proxy);
  }

  #look(listener: Listener): void {
    const state = this.#stateOf(listener);
    if (this.#last.has(listener.id) && isDeepStrictEqual(this.#last.get(listener.id), state)) return;
    this.#last.set(listener.id, state);
    this.#parts.told(listener.id, state);
  }

  #stateOf(listener: Listener): ListenerState | undefined {
    const { gateway, protocol } = listener;
    if (!isHttp(listener)) return { kind: "failed", reason: "UnsupportedProtocol", message: UNSERVED(protocol) };
    const resource = this.#parts.resourceOf(gateway, idOf("Listener", socketOf(listener)));
    if (resource === undefined) return undefined;
    const proxies = this.#parts.proxiesOf(gateway);
    const refusing = proxies.find((proxy) => this.#refused.get(proxy)?.has(resource.version) === true);
    const message = refusing === undefined ? undefined : this.#refused.get(refusing)?.get(resource.version);
    if (message !== undefined)
      return { kind: "failed", reason: /cannot bind/.test(message) ? "PortUnavailable" : "RejectedByProxy", message };
    if (proxies.length === 0) return undefined;
    const { id, version } = resource;
    if (proxies.every(({ stream }) => stream.taken(id)?.version === version)) this.#served.set(listener.id, version);
    return this.#served.get(listener.id) === version ? { kind: "serving" } : undefined;
  }
}
