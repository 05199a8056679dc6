import type { RouteKey, RouteTable } from "../routing/routing-table.ts";
import type { Proxy } from "./ads/ads-server.ts";
import type { Resources } from "./ads/delta-stream.ts";
import { Quarantine } from "./quarantine.ts";
import { refusalText } from "./refusal-text.ts";
import { type Resource, type ResourceId, idOf } from "./resources/resource.ts";
import { TRIAL, onTrial, trialListener } from "./resources/trial.ts";
import type { GatewayKey, XdsTable } from "./xds-table.ts";

interface Parts {
  readonly gateway: GatewayKey;
  readonly xds: XdsTable;
  /** These resources are others for the Gateway's proxies. */
  readonly changed: (ids: readonly ResourceId[]) => void;
  readonly convicted: (routes: ReadonlyMap<RouteKey, string>) => void;
}

const NOTHING: ReadonlyMap<ResourceId, Resource> = new Map();
const TRIAL_ROUTES = idOf("RouteConfiguration", TRIAL);
const TRIAL_LISTENER = trialListener.id;

/** What the proxies of one Gateway are to have: what its table says, and for a while routes on trial. */
export class GatewayProxies {
  readonly #parts: Parts;
  readonly #quarantine: Quarantine;
  #trial: Resource | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#quarantine = new Quarantine({
      start: (of, routes) => this.#start(of, routes),
      end: () => this.#end(),
      convicted: (routes) => parts.convicted(routes),
    });
  }

  get view(): Resources {
    const { xds, gateway } = this.#parts;
    const resources = xds.resources(gateway) ?? NOTHING;
    const trial = this.#trial;
    if (trial === undefined) return resources;
    const own = new Map([trialListener, trial].map((one) => [one.id, one]));
    return {
      get: (id) => own.get(id) ?? resources.get(id),
      has: (id) => own.has(id) || resources.has(id),
      values: () => [...own.values(), ...resources.values()].values(),
    };
  }

  taken(resources: readonly Resource[]): void {
    for (const resource of resources) {
      if (resource.id === TRIAL_ROUTES) this.#tried(resource, undefined);
      else this.#parts.xds.taken(resource);
    }
  }

  refused(proxy: Proxy, resource: Resource, message: string): void {
    const text = `${proxy.id}: ${refusalText(message)}`;
    if (resource.id === TRIAL_ROUTES) return this.#tried(resource, text);
    if (resource.type === "Cluster") this.#clusterRefused(resource.id, text);
    if (resource.type === "RouteConfiguration")
      this.#quarantine.refused(resource.id, this.#suspects(proxy, resource), text);
  }

  /** The last proxy has left. */
  deserted(): void {
    if (!this.#quarantine.isIdle) this.#quarantine.abandon();
  }

  #tried(resource: Resource, message: string | undefined): void {
    if (resource.version === this.#trial?.version) this.#quarantine.tried(message);
  }

  /** Routes that are others than in what the proxy has, and that no other proxy serves as they are. */
  #suspects({ stream }: Proxy, resource: Resource): RouteKey[] {
    const before = stream.taken(resource.id)?.routes;
    const others = [...(resource.routes ?? [])].filter(([key, route]) => before?.get(key) !== route);
    const unproven = others.filter(([key, route]) => !this.#parts.xds.isGood(key, route));
    return (unproven.length > 0 ? unproven : others).map(([key]) => key);
  }

  /** All that go there, but for those that did so before. */
  #clusterRefused(id: ResourceId, text: string): void {
    const { xds, gateway } = this.#parts;
    const users = [...xds.table.routes].filter(([, route]) => usesCluster(xds, gateway, route, id));
    const unproven = users.filter(([key, route]) => !xds.isGood(key, route));
    this.#parts.convicted(new Map((unproven.length > 0 ? unproven : users).map(([key]) => [key, text])));
  }

  #start(of: ResourceId, routes: readonly RouteKey[]): void {
    const { xds, gateway } = this.#parts;
    const alone = xds.alone(gateway, routes).get(of);
    if (alone === undefined) return void setImmediate(() => this.#quarantine.tried(undefined));
    const isNew = this.#trial === undefined;
    const trial = onTrial(alone);
    // The same content is never sent twice, so that nothing would be heard of it.
    if (trial.version === this.#trial?.version) return void setImmediate(() => this.#quarantine.tried(undefined));
    this.#trial = trial;
    this.#parts.changed(isNew ? [TRIAL_ROUTES, TRIAL_LISTENER] : [TRIAL_ROUTES]);
  }

  #end(): void {
    if (this.#trial === undefined) return;
    this.#trial = undefined;
    this.#parts.changed([TRIAL_LISTENER, TRIAL_ROUTES]);
  }
}

const usesCluster = (xds: XdsTable, gateway: GatewayKey, route: RouteTable, id: ResourceId): boolean =>
  xds.resourcesOf(route).get(gateway)?.includes(id) === true;
