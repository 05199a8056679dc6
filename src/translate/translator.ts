import { isDeepStrictEqual } from "node:util";
import { type ReadonlySignal, batch, computed, effect, untracked } from "@preact/signals-core";
import { type Key, keyOf } from "../api/keys.ts";
import type { EndpointSet, EndpointsKey } from "../routing/endpoints.ts";
import type { ListenerId } from "../routing/listener.ts";
import type { ListenerState, Liveness } from "../routing/programmed.ts";
import { type RouteKey, RoutingTable } from "../routing/routing-table.ts";
import { receiversOf } from "../routing/rule.ts";
import type { DesiredRouteStatus } from "../routing/status-report.ts";
import type { Store } from "../snapshot/store.ts";
import { DerivedMap, TrackedMap } from "../snapshot/tracked.ts";
import { bundleRefs } from "./backend-tls.ts";
import { translateEndpoints } from "./endpoints.ts";
import { GatewayStage } from "./gateway-stage.ts";
import type { GatewayView } from "./gateways.ts";
import type { TranslateOptions } from "./options.ts";
import { type Output, type Pending, nothingPending } from "./output.ts";
import { type Shadow, routeStatus } from "./route-status.ts";
import { type RouteTranslation, translateRoute } from "./translate-route.ts";

interface FollowedRoute {
  readonly translation: ReadonlySignal<RouteTranslation | undefined>;
  readonly dispose: () => void;
}

/** What comes back of a route from the table and the data plane. */
interface Feedback {
  readonly shadows: readonly Shadow[];
  readonly liveness: Liveness | undefined;
}
const NO_FEEDBACK: Feedback = Object.freeze({ shadows: Object.freeze([]), liveness: undefined });

/**
 * Objects in, tables and statuses out, incrementally: each derived thing is a function of what it reads, computed again
 * only when one of these changed. `flush` hands out what has changed since the last one.
 */
export class Translator {
  readonly table = new RoutingTable();
  readonly #store: Store;
  readonly #gateways: GatewayStage;
  readonly #routes = new Map<RouteKey, FollowedRoute>();
  readonly #endpointUsers = new Map<EndpointsKey, { count: number; dispose: () => void }>();
  readonly #feedback = new TrackedMap<RouteKey, Feedback>();
  readonly #endpoints: DerivedMap<EndpointsKey, EndpointSet>;
  #pending: Pending = nothingPending();

  constructor(store: Store, options: TranslateOptions) {
    this.#store = store;
    this.#endpoints = new DerivedMap((key) => translateEndpoints(store, key, options), isDeepStrictEqual);
    this.#gateways = new GatewayStage(store, options, {
      listener: (id, listener) => void this.#pending.diff.listeners.set(id, listener),
      currentListener: (id) => {
        const { listeners } = this.#pending.diff;
        return listeners.has(id) ? listeners.get(id) : this.table.listeners.get(id);
      },
      status: (key, status) => void this.#pending.gatewayStatuses.set(key, status),
    });
    store.onMembership((kind, key) => {
      if (kind === "ServiceRoute") this.#routeCameOrWent(key as RouteKey);
    });
    for (const key of store.keys("ServiceRoute")) this.#routeCameOrWent(key as RouteKey);
    this.#gateways.start();
  }

  /** What changed since the last flush, already applied to `table`; undefined when nothing did. */
  flush(): Output | undefined {
    const { diff } = this.#pending;
    const touched = this.table.apply(diff);
    batch(() => {
      for (const key of new Set([...diff.routes.keys(), ...touched])) this.#updateShadows(key);
    });
    const output = this.#pending;
    this.#pending = nothingPending();
    const changes = [
      diff.routes,
      diff.listeners,
      diff.endpoints,
      output.routeStatuses,
      output.gatewayStatuses,
      output.translations,
    ];
    return changes.some((map) => map.size > 0) || output.failures.length > 0 ? output : undefined;
  }

  /** What is to be said of a route now. Made anew each time: kept for every route, statuses would be a fifth of the heap. */
  routeStatus(key: RouteKey): DesiredRouteStatus | undefined {
    return untracked(() => {
      const translation = this.#routes.get(key)?.translation.value;
      return translation === undefined ? undefined : this.#statusOf(key, translation);
    });
  }

  /** Routes that there is something to say of. */
  routeKeys(): Iterable<RouteKey> {
    return this.#routes.keys();
  }

  /** A data plane's word on how far a route is; becomes part of its status. */
  setLiveness(key: RouteKey, liveness: Liveness): void {
    if (this.#routes.has(key)) this.#feedback.set(key, { ...this.#lastFeedback(key), liveness });
  }

  /** A data plane's word on a listener. */
  setListenerState(id: ListenerId, state: ListenerState | undefined): void {
    this.#gateways.setState(id, state);
  }

  /** A source's word on why a Secret cannot be seen; undefined when it can, or is simply not there. */
  setSecretProblem(key: Key<"Secret">, problem: string | undefined): void {
    this.#gateways.setSecretProblem(key, problem);
  }

  /** The time, in milliseconds since 1970: certificates are not judged by it before it is set. */
  setTime(now: number): void {
    this.#gateways.setTime(now);
  }

  onGateways(listener: (gateways: readonly GatewayView[]) => void): () => void {
    return this.#gateways.onGateways(listener);
  }

  onReferencedSecrets(listener: (keys: ReadonlySet<Key<"Secret">>) => void): () => void {
    return this.#gateways.onReferencedSecrets(listener);
  }

  /** Tells of the ConfigMaps that BackendTLSPolicies take their authorities from, now and whenever that changes. */
  onReferencedBundles(listener: (keys: ReadonlySet<Key<"ConfigMap">>) => void): () => void {
    let last: ReadonlySet<Key<"ConfigMap">> = new Set();
    return effect(() => {
      const refs = this.#store.backendTlsPolicies().flatMap(bundleRefs);
      const next = new Set(refs.map(({ namespace, name }) => keyOf("ConfigMap", namespace, name)));
      if (isDeepStrictEqual(last, next)) return;
      last = next;
      listener(next);
    });
  }

  #routeCameOrWent(key: RouteKey): void {
    const present = this.#store.peek(key) !== undefined;
    if (present && !this.#routes.has(key)) this.#routes.set(key, this.#follow(key));
    if (present) return;
    this.#routes.get(key)?.dispose();
    this.#routes.delete(key);
    this.#feedback.delete(key);
    this.#pending.removed.add(key);
    this.#setTable(key, undefined);
    this.#pending.routeStatuses.set(key, undefined);
    this.#pending.translations.set(key, undefined);
  }

  #follow(key: RouteKey): FollowedRoute {
    let lastGood: RouteTranslation | undefined;
    const translation = computed(() => {
      const object = this.#store.get(key);
      if (object === undefined) return undefined;
      try {
        return (lastGood = translateRoute(this.#store, this.#gateways.lookup, object));
      } catch (error) {
        this.#pending.failures.push({ key, error });
        return lastGood;
      }
    });
    let published: RouteTranslation | undefined;
    const dispose = effect(() => {
      const now = translation.value;
      if (now === undefined) return;
      if (now !== published) {
        published = now;
        this.#setTable(key, now.table);
        this.#pending.translations.set(key, now);
      }
      this.#pending.routeStatuses.set(key, this.#statusOf(key, now));
    });
    return { translation, dispose };
  }

  #statusOf(key: RouteKey, translation: RouteTranslation): DesiredRouteStatus {
    return routeStatus(translation, {
      key,
      endpoints: (endpoints) => this.#endpoints.get(endpoints),
      ...(this.#feedback.get(key) ?? NO_FEEDBACK),
      listenerState: (id) => this.#gateways.state(id),
      whyUnservable: (id) => this.#gateways.whyUnservable(id),
    });
  }

  #setTable(key: RouteKey, next: RouteTranslation["table"]): void {
    const { routes } = this.#pending.diff;
    const old = routes.has(key) ? routes.get(key) : this.table.routes.get(key);
    if (old === next) return;
    routes.set(key, next);
    for (const endpoints of endpointsOf(next)) this.#useEndpoints(endpoints);
    for (const endpoints of endpointsOf(old)) this.#releaseEndpoints(endpoints);
    for (const { listener } of next?.placements ?? []) this.#gateways.countAttached(listener, 1);
    for (const { listener } of old?.placements ?? []) this.#gateways.countAttached(listener, -1);
  }

  #useEndpoints(key: EndpointsKey): void {
    const used = this.#endpointUsers.get(key);
    if (used !== undefined) {
      used.count++;
      return;
    }
    const dispose = effect(() => void this.#pending.diff.endpoints.set(key, this.#endpoints.get(key)));
    this.#endpointUsers.set(key, { count: 1, dispose });
  }

  #releaseEndpoints(key: EndpointsKey): void {
    const used = this.#endpointUsers.get(key);
    if (used === undefined || --used.count > 0) return;
    used.dispose();
    this.#endpointUsers.delete(key);
    this.#pending.diff.endpoints.set(key, undefined);
  }

  #updateShadows(key: RouteKey): void {
    const now = this.table.shadowed(key);
    const last = this.#lastFeedback(key);
    const { shadows } = last;
    const same = now.every((one, i) => one.entry === shadows[i]?.entry && one.winner === shadows[i].winner);
    if (now.length === shadows.length && same) return;
    if (this.#routes.has(key)) this.#feedback.set(key, { ...last, shadows: now });
  }

  #lastFeedback(key: RouteKey): Feedback {
    return this.#feedback.peek(key) ?? NO_FEEDBACK;
  }
}

function endpointsOf(table: RouteTranslation["table"]): ReadonlySet<EndpointsKey> {
  const keys = new Set<EndpointsKey>();
  for (const { rule } of table?.entries ?? []) {
    const backends = rule.action.kind === "forward" ? receiversOf(rule.action) : [];
    const mirrors = [...rule.filters.mirrors, ...backends.flatMap((b) => b.filters.mirrors)];
    for (const { target } of backends) if (target.kind === "cluster") keys.add(target.endpoints);
    for (const { backend } of mirrors) if (backend.kind === "cluster") keys.add(backend.endpoints);
  }
  return keys;
}
