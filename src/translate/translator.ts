import { isDeepStrictEqual } from "node:util";
import { batch, computed, effect } from "@preact/signals-core";
import { type Key, keyOf, partsOf } from "../api/keys.ts";
import type { Kind } from "../api/kinds.ts";
import type { EndpointSet, EndpointsKey } from "../routing/endpoints.ts";
import type { Certificate, Listener, ListenerId } from "../routing/listener.ts";
import type { ListenerState, Liveness } from "../routing/programmed.ts";
import { type RouteKey, RoutingTable, type TableDiff, emptyDiff } from "../routing/routing-table.ts";
import type { Store } from "../snapshot/store.ts";
import { DerivedMap, TrackedMap } from "../snapshot/tracked.ts";
import {
  type ListenerCertificates,
  type SecretProblem,
  listenerCertificates,
  referencedSecrets,
} from "./certificates.ts";
import type { DesiredGatewayStatus, DesiredRouteStatus } from "../routing/status-report.ts";
import { gatewayStatus } from "./gateway-status.ts";
import { type GatewayPlan, type GatewayView, type ListenerView, planGateways } from "./gateways.ts";
import type { TranslateOptions } from "./options.ts";
import { type Shadow, routeStatus } from "./route-status.ts";
import { translateEndpoints } from "./endpoints.ts";
import { type RouteTranslation, translateRoute } from "./translate-route.ts";

/** Everything that one change led to. */
export interface Output {
  readonly diff: TableDiff;
  readonly routeStatuses: ReadonlyMap<RouteKey, DesiredRouteStatus | undefined>;
  readonly gatewayStatuses: ReadonlyMap<Key<"Gateway">, DesiredGatewayStatus | undefined>;
  /** Routes whose content in the table changed, with what they are now. */
  readonly translations: ReadonlyMap<RouteKey, RouteTranslation | undefined>;
  /** Defects of ours: a translation that threw. The route's last good table stays. */
  readonly failures: readonly { readonly key: Key; readonly error: unknown }[];
}

type Mutable = {
  diff: ReturnType<typeof emptyDiff>;
  routeStatuses: Map<RouteKey, DesiredRouteStatus | undefined>;
  gatewayStatuses: Map<Key<"Gateway">, DesiredGatewayStatus | undefined>;
  translations: Map<RouteKey, RouteTranslation | undefined>;
  failures: { key: Key; error: unknown }[];
};

const nothing = (): Mutable => ({
  diff: emptyDiff(),
  routeStatuses: new Map(),
  gatewayStatuses: new Map(),
  translations: new Map(),
  failures: [],
});
const NO_SHADOWS: readonly Shadow[] = Object.freeze([]);

/**
 * Objects in, tables and statuses out, incrementally: each derived thing is a function of what it reads, computed again
 * only when one of these changed. `flush` hands out what has changed since the last one.
 */
export class Translator {
  readonly table = new RoutingTable();
  readonly #store: Store;
  readonly #options: TranslateOptions;
  readonly #secretProblem: SecretProblem;
  readonly #disposers = new Map<Key, () => void>();
  readonly #endpointUsers = new Map<EndpointsKey, { count: number; dispose: () => void }>();
  readonly #shadows = new TrackedMap<RouteKey, readonly Shadow[]>();
  readonly #attached = new TrackedMap<ListenerId, number>();
  readonly #liveness = new TrackedMap<RouteKey, Liveness>();
  readonly #listenerStates = new TrackedMap<ListenerId, ListenerState>();
  readonly #secretChanges = new TrackedMap<string, number>();
  #pending = nothing();
  #lastPlan: GatewayPlan | undefined;

  readonly #plan = computed(() => (this.#lastPlan = planGateways(this.#store, this.#options, this.#lastPlan)));
  readonly #gateway = new DerivedMap<Key<"Gateway">, GatewayView | undefined>(
    (key) => this.#plan.value.get(key),
    isDeepStrictEqual,
  );
  readonly #defaults = new DerivedMap<"", readonly GatewayView[]>(
    () => [...this.#plan.value.values()].filter((g) => g.isDefault),
    isDeepStrictEqual,
  );
  readonly #endpoints = new DerivedMap<EndpointsKey, EndpointSet>(
    (key) => translateEndpoints(this.#store, key, this.#options),
    isDeepStrictEqual,
  );
  readonly #certificates = new DerivedMap<ListenerId, ListenerCertificates>(
    (id, last) => this.#deriveCertificates(id, last?.certificates ?? []),
    sameCertificates,
  );
  readonly #lookup = { get: (key: Key<"Gateway">) => this.#gateway.get(key), defaults: () => this.#defaults.get("") };

  constructor(store: Store, options: TranslateOptions, secretProblem: SecretProblem = () => undefined) {
    this.#store = store;
    this.#options = options;
    this.#secretProblem = secretProblem;
    store.onMembership((kind, key) => this.#membership(kind, key));
    for (const key of store.keys("ServiceRoute")) this.#membership("ServiceRoute", key);
    effect(() => this.#followPlan(this.#plan.value));
  }

  /** What changed since the last flush, already applied to `table`; undefined when nothing did. */
  flush(): Output | undefined {
    const { diff } = this.#pending;
    const touched = this.table.apply(diff);
    const stirred = new Set([...diff.routes.keys(), ...touched]);
    batch(() => {
      for (const key of stirred) this.#updateShadows(key);
    });
    const output = this.#pending;
    this.#pending = nothing();
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

  /** A data plane's word on how far a route is; becomes part of its status. */
  setLiveness(key: RouteKey, liveness: Liveness): void {
    if (this.#disposers.has(key)) this.#liveness.set(key, liveness);
  }

  setListenerState(id: ListenerId, state: ListenerState | undefined): void {
    if (state === undefined) this.#listenerStates.delete(id);
    else this.#listenerStates.set(id, state);
  }

  /** Tells that `secretProblem` has something new to say of a Secret. */
  secretProblemChanged(namespace: string, name: string): void {
    const key = `${namespace}/${name}`;
    this.#secretChanges.set(key, (this.#secretChanges.peek(key) ?? 0) + 1);
  }

  /** Secrets that Gateways of ours refer to and may read. */
  onReferencedSecrets(listener: (keys: ReadonlySet<Key<"Secret">>) => void): () => void {
    let last: ReadonlySet<Key<"Secret">> = new Set();
    return effect(() => {
      const next = new Set(
        [...this.#plan.value.values()].flatMap((gateway) => referencedSecrets(this.#store, gateway)),
      );
      if (isDeepStrictEqual(last, next)) return;
      last = next;
      listener(next);
    });
  }

  #membership(kind: Kind, key: Key): void {
    if (kind !== "ServiceRoute") return;
    const route = key as RouteKey;
    const present = this.#store.peek(route) !== undefined;
    if (!present) this.#disposeRoute(route);
    else if (!this.#disposers.has(route)) this.#disposers.set(route, this.#followRoute(route));
  }

  #disposeRoute(key: RouteKey): void {
    this.#disposers.get(key)?.();
    this.#disposers.delete(key);
    this.#liveness.delete(key);
    this.#setTable(key, undefined);
    this.#pending.routeStatuses.set(key, undefined);
    this.#pending.translations.set(key, undefined);
  }

  #followRoute(key: RouteKey): () => void {
    let lastGood: RouteTranslation | undefined;
    const translation = computed(() => {
      const object = this.#store.get(key);
      if (object === undefined) return undefined;
      try {
        return (lastGood = translateRoute(this.#store, this.#lookup, object));
      } catch (error) {
        this.#pending.failures.push({ key, error });
        return lastGood;
      }
    });
    const stopTable = effect(() => {
      const now = translation.value;
      if (now === undefined) return;
      this.#setTable(key, now.table);
      this.#pending.translations.set(key, now);
    });
    const stopStatus = effect(() => {
      const now = translation.value;
      if (now !== undefined) this.#pending.routeStatuses.set(key, this.#statusOf(key, now));
    });
    return () => {
      stopTable();
      stopStatus();
    };
  }

  #statusOf(key: RouteKey, translation: RouteTranslation): DesiredRouteStatus {
    return routeStatus(translation, {
      key,
      endpoints: (endpoints) => this.#endpoints.get(endpoints),
      shadows: this.#shadows.get(key) ?? NO_SHADOWS,
      liveness: this.#liveness.get(key),
      listenerProblem: (id) => {
        const state = this.#listenerStates.get(id);
        return state?.kind === "failed" ? state.message : undefined;
      },
    });
  }

  #setTable(key: RouteKey, next: RouteTranslation["table"]): void {
    const { routes } = this.#pending.diff;
    const old = routes.has(key) ? routes.get(key) : this.table.routes.get(key);
    if (old === next) return;
    routes.set(key, next);
    for (const endpoints of endpointsOf(next)) this.#useEndpoints(endpoints);
    for (const endpoints of endpointsOf(old)) this.#releaseEndpoints(endpoints);
    for (const { listener } of next?.placements ?? [])
      this.#attached.set(listener, (this.#attached.peek(listener) ?? 0) + 1);
    for (const { listener } of old?.placements ?? [])
      this.#attached.set(listener, (this.#attached.peek(listener) ?? 1) - 1);
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
    const shadowed = this.table.shadowed(key);
    const last = this.#shadows.peek(key) ?? NO_SHADOWS;
    const same =
      shadowed.length === last.length &&
      shadowed.every((one, i) => one.entry === last[i]?.entry && one.winner === last[i].winner);
    if (same) return;
    if (shadowed.length === 0) this.#shadows.delete(key);
    else this.#shadows.set(key, shadowed);
  }

  /** One effect for each Gateway of the plan: its listeners go to the table, its conditions to its status. */
  #followPlan(plan: GatewayPlan): void {
    for (const key of [...this.#disposers.keys()]) {
      const { kind } = partsOf(key);
      if (kind === "Gateway" && !plan.has(key as Key<"Gateway">)) this.#disposeGateway(key as Key<"Gateway">);
    }
    for (const key of plan.keys()) if (!this.#disposers.has(key)) this.#disposers.set(key, this.#followGateway(key));
  }

  #followGateway(key: Key<"Gateway">): () => void {
    let known = new Set<ListenerId>();
    const stopListeners = effect(() => {
      const listeners = this.#listenersOf(this.#gateway.get(key));
      for (const listener of listeners)
        if (this.#currentListener(listener.id) !== listener) this.#pending.diff.listeners.set(listener.id, listener);
      const now = new Set(listeners.map(({ id }) => id));
      for (const id of known) if (!now.has(id)) this.#pending.diff.listeners.set(id, undefined);
      known = now;
    });
    const stopStatus = effect(() => {
      const gateway = this.#gateway.get(key);
      if (gateway !== undefined) this.#pending.gatewayStatuses.set(key, this.#gatewayStatusOf(gateway));
    });
    return () => {
      stopListeners();
      stopStatus();
      for (const id of known) this.#pending.diff.listeners.set(id, undefined);
    };
  }

  #disposeGateway(key: Key<"Gateway">): void {
    this.#disposers.get(key)?.();
    this.#disposers.delete(key);
    this.#pending.gatewayStatuses.set(key, undefined);
  }

  #gatewayStatusOf(gateway: GatewayView): DesiredGatewayStatus {
    return gatewayStatus(gateway, {
      certificates: (listener) => this.#certificates.get(listener.id),
      attached: (id) => this.#attached.get(id) ?? 0,
      state: (id) => this.#listenerStates.get(id),
      advertisedAddress: this.#options.advertisedAddress,
    });
  }

  #currentListener(id: ListenerId): Listener | undefined {
    const { listeners } = this.#pending.diff;
    return listeners.has(id) ? listeners.get(id) : this.table.listeners.get(id);
  }

  #listenersOf(gateway: GatewayView | undefined): Listener[] {
    if (gateway?.address.ok !== true || gateway.invalidParameters !== undefined) return [];
    const { address } = gateway.address;
    return gateway.listeners.flatMap((view): Listener[] => {
      if (view.refusal !== undefined || (view.protocol !== "HTTP" && view.protocol !== "HTTPS")) return [];
      const certificates: readonly Certificate[] =
        view.protocol === "HTTPS" ? this.#certificates.get(view.id).certificates : [];
      if (view.protocol === "HTTPS" && certificates.length === 0) return [];
      const { id, name, port, protocol, hostname } = view;
      const next: Listener = { id, gateway: gateway.key, name, address, port, protocol, hostname, certificates };
      const last = this.#currentListener(id);
      return [last !== undefined && isSameListener(last, next) ? last : next];
    });
  }

  #deriveCertificates(id: ListenerId, last: readonly Certificate[]): ListenerCertificates {
    const [namespace = "", name = ""] = id.split("/");
    const gateway = this.#gateway.get(keyOf("Gateway", namespace, name));
    const listener = gateway?.listeners.find((view: ListenerView) => view.id === id);
    if (gateway === undefined || listener === undefined) return { certificates: [], errors: [] };
    if (namespace === "" && this.#options.builtin?.certificate !== undefined) {
      return { certificates: [this.#options.builtin.certificate], errors: [] };
    }
    return listenerCertificates(this.#store, gateway, listener, last, (ns, secret) => {
      this.#secretChanges.get(`${ns}/${secret}`);
      return this.#secretProblem(ns, secret);
    });
  }
}

function endpointsOf(table: RouteTranslation["table"]): ReadonlySet<EndpointsKey> {
  const keys = new Set<EndpointsKey>();
  for (const { rule } of table?.entries ?? []) {
    const backends = rule.action.kind === "forward" ? rule.action.backends : [];
    const mirrors = [...rule.filters.mirrors, ...backends.flatMap((b) => b.filters.mirrors)];
    for (const { target } of backends) if (target.kind === "cluster") keys.add(target.endpoints);
    for (const { backend } of mirrors) if (backend.kind === "cluster") keys.add(backend.endpoints);
  }
  return keys;
}

const sameChain = (a: readonly Certificate[], b: readonly Certificate[]): boolean =>
  a.length === b.length &&
  a.every((one, i) => one.secret === b[i]?.secret && one.chain === b[i].chain && one.key.equals(b[i].key));

function sameCertificates(a: ListenerCertificates, b: ListenerCertificates): boolean {
  return sameChain(a.certificates, b.certificates) && isDeepStrictEqual(a.errors, b.errors);
}

function isSameListener(a: Listener, b: Listener): boolean {
  return (
    isDeepStrictEqual({ ...a, certificates: [] }, { ...b, certificates: [] }) &&
    sameChain(a.certificates, b.certificates)
  );
}
