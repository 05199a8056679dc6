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
  /** Those that are connected. */
  readonly proxies: () => readonly Proxy[];
  /** These resources are others for the Gateway's proxies. */
  readonly changed: (ids: readonly ResourceId[]) => void;
  readonly convicted: (routes: ReadonlyMap<RouteKey, string>) => void;
}

const NOTHING: ReadonlyMap<ResourceId, Resource> = new Map();
const TRIAL_ROUTES = idOf("RouteConfiguration", TRIAL);
const TRIAL_LISTENER = trialListener.id;
/** A proxy that has not answered by then stands still; the others' word is enough. */
const TRIAL_MS = 10_000;

/** What the proxies of one Gateway are to have: what its table says, and for a while routes on trial. */
export class GatewayProxies {
  readonly #parts: Parts;
  readonly #quarantine: Quarantine;
  /** Routes as they were when they became suspect: whoever has mended one is not convicted for it. */
  readonly #suspected = new Map<RouteKey, RouteTable>();
  #trial: Resource | undefined;
  #limit: NodeJS.Timeout | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#quarantine = new Quarantine({
      start: (of, routes) => this.#start(of, routes),
      end: () => this.#end(),
      convicted: (routes, byThemselves) => this.#convict(routes, byThemselves),
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
      if (resource.id === TRIAL_ROUTES) this.#passed();
      else this.#parts.xds.taken(resource);
    }
  }

  refused(proxy: Proxy, resource: Resource, message: string): void {
    const text = `${proxy.id}: ${refusalText(message)}`;
    const { id, type, version } = resource;
    if (id === TRIAL_LISTENER) return this.#quarantine.fail();
    if (id === TRIAL_ROUTES) return version === this.#trial?.version ? this.#tried(text) : undefined;
    if (type === "Cluster") this.#clusterRefused(id, text);
    if (type !== "RouteConfiguration") return;
    const suspects = this.#suspects(proxy, resource);
    for (const [key, route] of suspects) this.#suspected.set(key, route);
    this.#quarantine.refused(
      id,
      suspects.map(([key]) => key),
      text,
    );
  }

  /** The last proxy has left. */
  deserted(): void {
    if (!this.#quarantine.isIdle) this.#quarantine.abandon();
  }

  /** Once all have taken what is on trial, nothing of it is refused. */
  #passed(): void {
    const { version } = this.#trial ?? {};
    if (this.#parts.proxies().every(({ stream }) => stream.taken(TRIAL_ROUTES)?.version === version))
      this.#tried(undefined);
  }

  #tried(message: string | undefined): void {
    clearTimeout(this.#limit);
    this.#quarantine.tried(message);
  }

  /** Routes that are still as they were refused. Unless all are, how they stood together says nothing any more. */
  #convict(routes: ReadonlyMap<RouteKey, string>, byThemselves: boolean): void {
    const { table } = this.#parts.xds;
    const guilty = [...routes].filter(([key]) => table.routes.get(key) === this.#suspected.get(key));
    for (const key of routes.keys()) this.#suspected.delete(key);
    if (guilty.length === 0 || (!byThemselves && guilty.length < routes.size)) return;
    this.#parts.convicted(new Map(guilty));
  }

  /** Routes that are others than in what the proxy has, and that no other proxy serves as they are. */
  #suspects({ stream }: Proxy, resource: Resource): [RouteKey, RouteTable][] {
    const { xds } = this.#parts;
    const before = stream.taken(resource.id)?.routes;
    const others = [...(resource.routes ?? [])].filter(
      ([key, route]) => before?.get(key) !== route && xds.table.routes.get(key) === route,
    );
    const unproven = others.filter(([key, route]) => !xds.isGood(key, route));
    return unproven.length > 0 ? unproven : others;
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
    const alone = xds.alone(gateway, routes).get(wholeOf(of));
    const trial = alone === undefined ? undefined : onTrial(alone);
    // What is not there any more is refused by nobody; of equal content nothing more would be heard.
    if (trial === undefined || trial.version === this.#trial?.version)
      return void setImmediate(() => this.#quarantine.tried(undefined));
    const isNew = this.#trial === undefined;
    this.#trial = trial;
    this.#limit = setTimeout(() => this.#tried(undefined), TRIAL_MS).unref();
    this.#parts.changed(isNew ? [TRIAL_ROUTES, TRIAL_LISTENER] : [TRIAL_ROUTES]);
  }

  #end(): void {
    clearTimeout(this.#limit);
    this.#suspected.clear();
    if (this.#trial === undefined) return;
    this.#trial = undefined;
    this.#parts.changed([TRIAL_LISTENER, TRIAL_ROUTES]);
  }
}

/** The table that a part of it belongs to, as one. */
const wholeOf = (id: ResourceId): ResourceId => id.replace(/#[0-9]+$/, "") as ResourceId;

const usesCluster = (xds: XdsTable, gateway: GatewayKey, route: RouteTable, id: ResourceId): boolean =>
  xds.resourcesOf(route).get(gateway)?.includes(id) === true;
