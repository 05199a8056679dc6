import { terminatesTls } from "./tcp.ts";
import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { computed, effect, signal } from "@preact/signals-core";
import { type Key, keyOf } from "../api/keys.ts";
import { BUILTIN_GATEWAY, type Certificate, type Listener, type ListenerId } from "../routing/listener.ts";
import type { ListenerState } from "../routing/programmed.ts";
import type { DesiredGatewayStatus } from "../routing/status-report.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";
import { DerivedMap, TrackedMap } from "../snapshot/tracked.ts";
import {
  type ListenerCertificates,
  type Surroundings,
  listenerCertificates,
  referencedSecrets,
} from "./certificates.ts";
import { gatewayStatus } from "./gateway-status.ts";
import { type GatewayForRoutes, type GatewayLookup, forRoutes } from "./gateway-for-routes.ts";
import { type GatewayPlan, type GatewayView, type ListenerView, planGateways } from "./gateways.ts";
import type { TranslateOptions } from "./options.ts";

/** 48 bits: of two thousand listeners the chance that any two agree by accident is one in a hundred million. */
const DIGEST_LENGTH = 8;

/** Where a stage puts what has changed, and where it finds what it said last. */
export interface GatewaySink {
  listener(id: ListenerId, listener: Listener | undefined): void;
  currentListener(id: ListenerId): Listener | undefined;
  status(key: Key<"Gateway">, status: DesiredGatewayStatus | undefined): void;
}

/** Gateways to listeners, certificates and statuses: the half of translation that routes only look at. */
export class GatewayStage {
  readonly lookup: GatewayLookup;
  readonly #snapshot: ClusterSnapshot;
  readonly #options: TranslateOptions;
  readonly #sink: GatewaySink;
  readonly #followed = new Map<Key<"Gateway">, () => void>();
  readonly #attached = new TrackedMap<ListenerId, number>();
  readonly #states = new TrackedMap<ListenerId, ListenerState>();
  readonly #secretProblems = new TrackedMap<Key<"Secret">, string>();
  readonly #time = signal<number | undefined>(undefined);
  #lastPlan: GatewayPlan | undefined;

  readonly #plan = computed(() => (this.#lastPlan = planGateways(this.#snapshot, this.#options, this.#lastPlan)));
  readonly #gateway = new DerivedMap<Key<"Gateway">, GatewayView | undefined>(
    (key) => this.#plan.value.get(key),
    isDeepStrictEqual,
  );
  readonly #forRoutes = new DerivedMap<Key<"Gateway">, GatewayForRoutes | undefined>((key) => {
    const view = this.#plan.value.get(key);
    return view === undefined ? undefined : forRoutes(view);
  }, isDeepStrictEqual);
  readonly #defaults = new DerivedMap<"", readonly GatewayForRoutes[]>(
    () => [...this.#plan.value.values()].filter((g) => g.isDefault).map(forRoutes),
    isDeepStrictEqual,
  );
  readonly #certificates = new DerivedMap<ListenerId, ListenerCertificates>(
    (id, last) => this.#deriveCertificates(id, last?.certificates ?? []),
    sameCertificates,
  );

  /** Whether a time has passed; a computation that asks runs again when it does, not whenever the clock moves on. */
  readonly #passed = new DerivedMap<number, boolean | undefined>((at) => {
    const now = this.#time.value;
    return now === undefined ? undefined : now >= at;
  });
  readonly #surroundings: Surroundings = {
    secretProblem: (key) => this.#secretProblems.get(key),
    hasPassed: (time) => this.#passed.get(time),
  };

  constructor(snapshot: ClusterSnapshot, options: TranslateOptions, sink: GatewaySink) {
    this.#snapshot = snapshot;
    this.#options = options;
    this.#sink = sink;
    this.lookup = { get: (key) => this.#forRoutes.get(key), defaults: () => this.#defaults.get("") };
  }

  start(): void {
    effect(() => this.#followPlan(this.#plan.value));
  }

  setState(id: ListenerId, state: ListenerState | undefined): void {
    if (isDeepStrictEqual(this.#states.peek(id), state)) return;
    if (state === undefined) this.#states.delete(id);
    else this.#states.set(id, state);
  }

  state(id: ListenerId): ListenerState | undefined {
    return this.#states.get(id);
  }

  /** Why nothing that a data plane does will make this listener serve; undefined when it may. */
  whyUnservable(id: ListenerId): string | undefined {
    const { certificates, errors } = this.#certificates.get(id);
    if (certificates.length === 0 && errors.length > 0) return "has no usable certificate";
    const listener = this.#viewOf(id)?.listener;
    return listener !== undefined && listener.bindPort === undefined
      ? "has no port at its Gateway's Service"
      : undefined;
  }

  #viewOf(id: ListenerId): { readonly gateway: GatewayView; readonly listener: ListenerView } | undefined {
    const [namespace = "", name = ""] = id.split("/");
    const gateway = this.#gateway.get(keyOf("Gateway", namespace, name));
    const listener = gateway?.listeners.find((view) => view.id === id);
    return gateway === undefined || listener === undefined ? undefined : { gateway, listener };
  }

  /** A route came to a listener (+1) or left it (-1). */
  countAttached(id: ListenerId, change: 1 | -1): void {
    const count = (this.#attached.peek(id) ?? 0) + change;
    if (count > 0) this.#attached.set(id, count);
    else this.#attached.delete(id);
  }

  setSecretProblem(key: Key<"Secret">, problem: string | undefined): void {
    if (problem === undefined) this.#secretProblems.delete(key);
    else this.#secretProblems.set(key, problem);
  }

  setTime(now: number): void {
    this.#time.value = now;
  }

  /** Tells of the Secrets that Gateways of ours refer to and may read, now and whenever that changes. */
  onReferencedSecrets(listener: (keys: ReadonlySet<Key<"Secret">>) => void): () => void {
    let last: ReadonlySet<Key<"Secret">> = new Set();
    return effect(() => {
      const next = new Set(
        [...this.#plan.value.values()].flatMap((gateway) => referencedSecrets(this.#snapshot, gateway)),
      );
      if (isDeepStrictEqual(last, next)) return;
      last = next;
      listener(next);
    });
  }

  /** Tells of the Gateways of ours, now and whenever one of them changes. */
  onGateways(listener: (gateways: readonly GatewayView[]) => void): () => void {
    return effect(() => listener([...this.#plan.value.values()].filter(({ key }) => key !== BUILTIN_GATEWAY)));
  }

  #followPlan(plan: GatewayPlan): void {
    for (const [key, stop] of this.#followed) {
      if (plan.has(key)) continue;
      stop();
      this.#followed.delete(key);
      this.#sink.status(key, undefined);
    }
    for (const key of plan.keys()) if (!this.#followed.has(key)) this.#followed.set(key, this.#follow(key));
  }

  #follow(key: Key<"Gateway">): () => void {
    let known = new Set<ListenerId>();
    const stopListeners = effect(() => {
      const listeners = this.#listenersOf(this.#gateway.get(key));
      for (const listener of listeners)
        if (this.#sink.currentListener(listener.id) !== listener) this.#sink.listener(listener.id, listener);
      const now = new Set(listeners.map(({ id }) => id));
      for (const id of known) if (!now.has(id)) this.#sink.listener(id, undefined);
      known = now;
    });
    const stopStatus = effect(() => {
      const gateway = this.#gateway.get(key);
      if (gateway !== undefined) this.#sink.status(key, this.#statusOf(gateway));
    });
    return () => {
      stopListeners();
      stopStatus();
      for (const id of known) this.#sink.listener(id, undefined);
    };
  }

  #statusOf(gateway: GatewayView): DesiredGatewayStatus {
    return gatewayStatus(gateway, {
      certificates: (listener) => this.#certificates.get(listener.id),
      attached: (id) => this.#attached.get(id) ?? 0,
      state: (id) => this.#states.get(id),
      advertisedAddress: this.#options.advertisedAddress,
    });
  }

  #listenersOf(gateway: GatewayView | undefined): Listener[] {
    if (gateway?.address.ok !== true || gateway.invalidParameters !== undefined) return [];
    const { address } = gateway.address;
    return gateway.listeners.flatMap((view): Listener[] => {
      if (view.refusal !== undefined) return [];
      const isTerminated = terminatesTls(view.spec);
      const certificates: readonly Certificate[] = isTerminated ? this.#certificates.get(view.id).certificates : [];
      if (isTerminated && certificates.length === 0) return [];
      const { id, name, port, bindPort, protocol, hostname } = view;
      if (bindPort === undefined) return [];

      const next: Listener = {
        id,
        gateway: gateway.key,
        name,
        address,
        port,
        bindPort,
        digest: digestOf(gateway, view, certificates),
        protocol: protocol as Listener["protocol"],
        hostname,
        certificates,
      };
      const last = this.#sink.currentListener(id);
      return [last !== undefined && isSameListener(last, next) ? last : next];
    });
  }

  #deriveCertificates(id: ListenerId, last: readonly Certificate[]): ListenerCertificates {
    const found = this.#viewOf(id);
    if (found === undefined) return { certificates: [], errors: [] };
    const { gateway, listener } = found;
    const builtin = gateway.namespace === "" ? this.#options.builtin?.certificate : undefined;
    if (builtin !== undefined) return { certificates: [builtin], errors: [] };
    return listenerCertificates(this.#snapshot, gateway, listener, last, this.#surroundings);
  }
}

/** Without the address that replicas are told to bind each for itself; one of the Gateway's own counts. */
function digestOf(
  { key, isDefault, address }: GatewayView,
  view: ListenerView,
  certificates: readonly Certificate[],
): string {
  const shown = certificates.map(({ secret, chain }) => [secret, chain]);
  const own = address.ok && address.own ? address.address : "";
  const text = JSON.stringify([key, isDefault, own, view, shown]);
  return createHash("sha256").update(text).digest("base64url").slice(0, DIGEST_LENGTH);
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
