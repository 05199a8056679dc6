import { ServerCredentials } from "@grpc/grpc-js";
import type { ListenerId } from "../routing/listener.ts";
import type { ListenerState } from "../routing/programmed.ts";
import type { RoutingTableView, TableDiff } from "../routing/routing-table.ts";
import type { Logger } from "../telemetry/logger.ts";
import { AdsServer, type Proxy } from "./ads/ads-server.ts";
import type { DeltaResponse } from "./ads/delta-stream.ts";
import type { ProxyOptions } from "./options.ts";
import { type GatewayKey, XdsTable } from "./xds-table.ts";

interface Parts {
  readonly table: RoutingTableView;
  readonly options: ProxyOptions;
  readonly log: Logger;
  readonly onListenerState: (id: ListenerId, state: ListenerState | undefined) => void;
}

/** Envoys that serve the table: any number for each Gateway, which come by themselves and ask. */
export class EnvoyDataPlane {
  readonly #table: RoutingTableView;
  readonly #log: Logger;
  readonly #xds: XdsTable;
  readonly #server: AdsServer;
  readonly #onListenerState: Parts["onListenerState"];
  readonly #waiting: (() => void)[] = [];
  #isOpen = false;

  constructor({ table, options, log, onListenerState }: Parts) {
    this.#table = table;
    this.#log = log;
    this.#onListenerState = onListenerState;
    this.#xds = new XdsTable(table, options);
    this.#server = new AdsServer((gateway) => this.#view(gateway), {
      joined: (proxy) => log.info({ proxy: proxy.id, gateway: proxy.gateway }, "a proxy has come"),
      left: (proxy) => log.info({ proxy: proxy.id, gateway: proxy.gateway }, "a proxy has gone"),
      acked: (proxy, response) => this.#acked(proxy, response),
      nacked: (proxy, response, message) => this.#nacked(proxy, response, message),
    });
  }

  /** @returns The port that proxies find us at. */
  async listen(address: string): Promise<number> {
    return this.#server.listen(address, ServerCredentials.createInsecure());
  }

  publish(diff: TableDiff): void {
    const changes = this.#xds.apply(diff);
    if (!this.#isOpen) {
      this.#isOpen = true;
      this.#server.opened();
    } else for (const [gateway, change] of changes) this.#server.changed(gateway, change.keys());
    for (const [id, listener] of diff.listeners) if (listener === undefined) this.#onListenerState(id, undefined);
    this.#settle();
  }

  whenServed(served: () => void): void {
    this.#waiting.push(served);
    this.#settle();
  }

  problem(): string {
    return "";
  }

  async drain(): Promise<void> {
    this.#server.close();
    return Promise.resolve();
  }

  #view(gateway: GatewayKey): ReturnType<XdsTable["resources"]> {
    if (!this.#isOpen) return undefined;
    return this.#xds.resources(gateway) ?? new Map();
  }

  #acked({ gateway }: Proxy, { type }: DeltaResponse): void {
    if (type === "Listener")
      for (const listener of this.#table.listeners.values())
        if (listener.gateway === gateway) this.#onListenerState(listener.id, { kind: "serving" });
    setImmediate(() => this.#settle());
  }

  #nacked(proxy: Proxy, { type, resources }: DeltaResponse, message: string): void {
    const names = resources.map(({ name }) => name);
    this.#log.error(
      { proxy: proxy.id, type, names, problem: message.slice(0, 1000) },
      "a proxy refuses what it was sent",
    );
    setImmediate(() => this.#settle());
  }

  #settle(): void {
    const proxies = [...this.#server.proxies];
    if (proxies.length === 0 || !proxies.every(({ stream }) => stream.isSettled)) return;
    for (const served of this.#waiting.splice(0)) served();
  }
}
