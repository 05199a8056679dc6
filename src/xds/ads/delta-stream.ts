import { type Resource, type ResourceId, type ResourceType, TYPES, idOf, partsOf } from "../resources/resource.ts";
import { Subscription } from "./subscription.ts";

/** What a proxy says. @source xDS protocol, DeltaDiscoveryRequest. */
export interface DeltaRequest {
  readonly type: ResourceType;
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  /** Versions that it has from a stream before, by name. */
  readonly initialVersions: Readonly<Record<string, string>>;
  /** Of the response that it answers; empty: none. */
  readonly nonce: string;
  /** Why it does not take that response; undefined: it does. */
  readonly error?: string | undefined;
}

export interface DeltaResponse {
  readonly type: ResourceType;
  readonly nonce: string;
  readonly resources: readonly Resource[];
  readonly removed: readonly string[];
}

export interface StreamEvents {
  /** The proxy has taken these, now or from a stream before. */
  readonly taken: (type: ResourceType, resources: readonly Resource[]) => void;
  /** It refuses this one, by itself. */
  readonly refused: (resource: Resource, message: string) => void;
}

/** What a proxy is to have. */
export type Resources = Pick<ReadonlyMap<ResourceId, Resource>, "get" | "has" | "values">;
export type ResourceView = () => Resources | undefined;

/** So long routes wait for their clusters. */
const PATIENCE_MS = 5000;
const WAITS_FOR_CLUSTERS: ReadonlySet<ResourceType> = new Set(["Listener", "RouteConfiguration"]);

/**
 * One proxy's delta stream, as a function of what it says and of what there is: no I/O and no clock. Of each type one
 * response is on its way; what changes meanwhile is part of the next one, so that a proxy that is slow, or gone, costs
 * no more memory than the names of what has changed. What is used comes before what uses it, and goes after it.
 */
export class DeltaStream {
  readonly #view: ResourceView;
  readonly #events: StreamEvents;
  readonly #subscriptions = new Map<ResourceType, Subscription>();
  readonly #unanswered = new Map<ResourceType, DeltaResponse>();
  /** Since when something waits for its clusters. */
  readonly #waiting = new Map<ResourceId, number>();
  #nonces = 0;

  /** @param view  What the proxy is to have; undefined: that is not known yet, and it is told nothing. */
  constructor(view: ResourceView, events: StreamEvents) {
    this.#view = view;
    this.#events = events;
  }

  /** Whether anything is on its way to the proxy, or waits to be. */
  get isSettled(): boolean {
    return (
      this.#unanswered.size === 0 &&
      [...this.#subscriptions.values()].every(
        ({ dirty, owesAnswer, suspects }) => dirty.size + suspects.length === 0 && !owesAnswer,
      )
    );
  }

  /** What the proxy has said that it took. */
  taken(id: ResourceId): Resource | undefined {
    const [type, name] = partsOf(id);
    return this.#subscriptions.get(type)?.taken.get(name);
  }

  request(request: DeltaRequest): void {
    this.#answered(request);
    const { type, subscribe, unsubscribe, initialVersions } = request;
    let subscription = this.#subscriptions.get(type);
    const isFirst = subscription === undefined;
    if (subscription === undefined) this.#subscriptions.set(type, (subscription = new Subscription(type)));
    const { everything } = subscription.subscribe(subscribe, isFirst, Object.keys(initialVersions).length > 0);
    subscription.unsubscribe(unsubscribe);
    for (const [name, version] of Object.entries(initialVersions)) subscription.brought.set(name, version);
    // Who asks for something again has forgotten it.
    for (const name of subscribe) if (initialVersions[name] === undefined) subscription.forget(name);
    for (const name of [...Object.keys(initialVersions), ...subscribe]) subscription.dirty.add(name);
    subscription.dirty.delete("*");
    if (everything) this.#touchAll(subscription);
  }

  /** What it has refused may be taken now: it is sent once more. */
  again({ id, type, name }: Resource): void {
    const subscription = this.#subscriptions.get(type);
    if (subscription?.refused.has(name) === true && this.taken(id)?.version !== this.#view()?.get(id)?.version)
      subscription.sent.delete(name);
  }

  changed(ids: Iterable<ResourceId>): void {
    for (const id of ids) {
      const [type, name] = partsOf(id);
      const subscription = this.#subscriptions.get(type);
      if (subscription?.wants(name) === true) subscription.dirty.add(name);
    }
  }

  /** Whether something waits for its clusters: then {@link take} has to be asked again later. */
  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  /** Everything may be another. */
  changedAll(): void {
    for (const subscription of this.#subscriptions.values()) this.#touchAll(subscription);
  }

  /** What is to be sent now, in this order. */
  take(now: number): DeltaResponse[] {
    const view = this.#view();
    if (view === undefined) return [];
    return TYPES.flatMap((type) => {
      const subscription = this.#subscriptions.get(type);
      if (subscription === undefined || this.#unanswered.has(type)) return [];
      if (subscription.suspects.length > 0) return this.#apart(subscription, view);
      if (subscription.dirty.size === 0 && !subscription.owesAnswer) return [];
      return this.#next(subscription, view, now);
    });
  }

  #next(subscription: Subscription, view: Resources, now: number): DeltaResponse[] {
    const { type, dirty } = subscription;
    const resources: Resource[] = [];
    const removed: string[] = [];
    const known: Resource[] = [];
    const used = lazily(() => this.#used());
    for (const name of dirty) {
      const id = idOf(type, name);
      const resource = view.get(id);
      if (resource === undefined ? this.#mustStay(id, used) : !this.#mayCome(resource, now)) continue;
      dirty.delete(name);
      this.#waiting.delete(id);
      if (resource === undefined) this.#remove(subscription, name, removed);
      else if (subscription.recognises(resource)) this.#recognise(subscription, resource, known);
      else resources.push(resource);
    }
    for (const resource of resources) subscription.sending(resource);
    if (known.length > 0) this.#events.taken(type, known);
    if (resources.length + removed.length === 0 && !subscription.owesAnswer) return [];
    return [this.#responding(subscription, resources, removed)];
  }

  /** Some of what was refused together, by themselves. What is gone meanwhile, or another, is as good as dirty. */
  #apart(subscription: Subscription, view: Resources): DeltaResponse[] {
    const { type, suspects, dirty } = subscription;
    for (let group = suspects.shift(); group !== undefined; group = suspects.shift()) {
      const resources = group.flatMap((name) => {
        const resource = view.get(idOf(type, name));
        if (resource === undefined) dirty.add(name);
        return resource !== undefined && subscription.wants(name) ? [resource] : [];
      });
      for (const resource of resources) {
        subscription.sending(resource);
        dirty.delete(resource.name);
      }
      if (resources.length > 0) return [this.#responding(subscription, resources, [])];
    }
    return [];
  }

  #responding(subscription: Subscription, resources: readonly Resource[], removed: readonly string[]): DeltaResponse {
    const { type } = subscription;
    subscription.owesAnswer = false;
    const response = { type, nonce: String(++this.#nonces), resources, removed };
    this.#unanswered.set(type, response);
    if (type === "Cluster") this.#oweEndpoints(resources);
    return response;
  }

  #remove({ sent }: Subscription, name: string, removed: string[]): void {
    if (sent.has(name) && sent.get(name) === undefined) return;
    sent.set(name, undefined);
    removed.push(name);
  }

  /** It has it already; of what it brought from a stream before that is news. */
  #recognise(subscription: Subscription, resource: Resource, known: Resource[]): void {
    const { name } = resource;
    if (!subscription.sent.has(name)) {
      subscription.taken.set(name, resource);
      known.push(resource);
      subscription.sending(resource);
    } else subscription.sent.set(name, resource);
  }

  /** A cluster that is another waits for its endpoints anew, though these be the same: Envoy keeps it for 15 s. */
  #oweEndpoints(clusters: readonly Resource[]): void {
    const assignments = this.#subscriptions.get("ClusterLoadAssignment");
    for (const { uses } of clusters)
      for (const id of uses) {
        if (!id.startsWith("ClusterLoadAssignment/")) continue;
        const name = partsOf(id)[1];
        if (assignments?.wants(name) !== true) continue;
        assignments.forget(name);
        assignments.dirty.add(name);
      }
  }

  #mayCome({ id, type, uses }: Resource, now: number): boolean {
    if (!WAITS_FOR_CLUSTERS.has(type) || uses.every((used) => this.#isReady(used))) return true;
    const since = this.#waiting.get(id) ?? now;
    this.#waiting.set(id, since);
    return now - since >= PATIENCE_MS;
  }

  /** Whether the proxy has a cluster, with its endpoints. One that it is not to have is not waited for. */
  #isReady(id: ResourceId): boolean {
    const name = partsOf(id)[1];
    const clusters = this.#subscriptions.get("Cluster");
    if (this.#view()?.has(id) !== true || clusters?.refused.has(name) === true) return true;
    const cluster = clusters?.kept(name);
    if (cluster === undefined) return false;
    const assignments = this.#subscriptions.get("ClusterLoadAssignment");
    return cluster.uses.every((used) =>
      used.startsWith("Cluster/") ? this.#isReady(used) : assignments?.kept(partsOf(used)[1]) !== undefined,
    );
  }

  /** A cluster that routes name, and a scope while a listener may not have learnt yet to do without. */
  #mustStay(id: ResourceId, used: () => ReadonlySet<ResourceId>): boolean {
    const [type] = partsOf(id);
    if (type === "Cluster") return used().has(id);
    return type === "ScopedRouteConfiguration" && (this.#isBusy("Listener") || this.#isBusy("RouteConfiguration"));
  }

  #isBusy(type: ResourceType): boolean {
    return this.#unanswered.has(type) || (this.#subscriptions.get(type)?.dirty.size ?? 0) > 0;
  }

  /** Clusters that something names which the proxy has, or may have. */
  #used(): ReadonlySet<ResourceId> {
    const all = [...WAITS_FOR_CLUSTERS].flatMap((type) => {
      const { taken, sent } = this.#subscriptions.get(type) ?? {};
      return [...(taken?.values() ?? []), ...(sent?.values() ?? [])];
    });
    const direct = new Set(all.flatMap((resource) => resource?.uses ?? []));
    const clusters = this.#subscriptions.get("Cluster")?.taken;
    const behind = [...direct].flatMap((id) => clusters?.get(partsOf(id)[1])?.uses ?? []);
    return new Set([...direct, ...behind]);
  }

  #answered({ type, nonce, error }: DeltaRequest): void {
    const response = this.#unanswered.get(type);
    if (response === undefined || response.nonce !== nonce) return;
    this.#unanswered.delete(type);
    const subscription = this.#subscriptions.get(type);
    if (error !== undefined && subscription !== undefined) return this.#refused(subscription, response, error);
    for (const resource of response.resources)
      if (subscription?.wants(resource.name) === true) subscription.taken.set(resource.name, resource);
    for (const name of response.removed) if (subscription?.sent.get(name) === undefined) subscription?.forget(name);
    this.#events.taken(type, response.resources);
  }

  #refused(subscription: Subscription, { resources, removed }: DeltaResponse, error: string): void {
    for (const name of removed) {
      subscription.sent.delete(name);
      subscription.dirty.add(name);
    }
    const [only] = resources;
    if (resources.length > 1) return subscription.suspect(resources.map(({ name }) => name));
    if (only === undefined) return;
    subscription.refused.add(only.name);
    this.#events.refused(only, error);
  }

  #touchAll(subscription: Subscription): void {
    for (const { type, name } of this.#view()?.values() ?? [])
      if (type === subscription.type && subscription.wants(name)) subscription.dirty.add(name);
    for (const name of subscription.sent.keys()) subscription.dirty.add(name);
  }
}

function lazily<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
