import { type Key, keyOf } from "../../api/keys.ts";
import { KINDS, type Kind } from "../../api/kinds.ts";
import { type KubeObject, parseObject } from "../../api/objects.ts";
import type { ApiClient } from "../../kube/api-client.ts";
import type { KubeError } from "../../kube/kube-error.ts";
import { type Feed, ListWatch, type ListWatchParts, type RawObject, type WatchEvent } from "../../kube/list-watch.ts";
import type { Store } from "../../snapshot/store.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Metrics } from "../../telemetry/metrics.ts";

/** Endpoints come as slices through the mirroring controller; Secrets and ConfigMaps come one by one (referenced-source). */
export const WATCHED_KINDS = [
  "ServiceRoute",
  "Gateway",
  "GatewayClass",
  "ReferenceGrant",
  "Service",
  "EndpointSlice",
  "Namespace",
  "BackendTLSPolicy",
] as const satisfies readonly Kind[];
type WatchedKind = (typeof WATCHED_KINDS)[number];

export interface KubeSourceParts {
  readonly client: ApiClient;
  readonly store: Store;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** One namespace to look at, or all. */
  readonly namespace: string | undefined;
  readonly random: () => number;
  /** Called after each change. */
  readonly changed: () => void;
  /** Sees every object as the API server sent it, status included; undefined = deleted. */
  readonly onRaw: (kind: Kind, key: Key, raw: RawObject | undefined) => void;
  /** How far the ServiceRoutes that we have go. */
  readonly onProgress: (resourceVersion: string) => void;
}

export function pathOf(kind: Kind, namespace: string | undefined): string {
  const { group, version, plural, namespaced } = KINDS[kind];
  const prefix = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  return namespaced && namespace !== undefined ? `${prefix}/namespaces/${namespace}/${plural}` : `${prefix}/${plural}`;
}

/**
 * What belongs to the whole cluster cannot be seen with rights in one namespace alone. Anything else that is forbidden
 * is a grant that is missing, not a list that is empty: it is waited for.
 */
function absentWhen(kind: WatchedKind, namespace: string | undefined): ListWatchParts["absentWhen"] {
  const { optional, namespaced } = KINDS[kind];
  const outOfSight = namespace !== undefined && !namespaced;
  return [...(optional ? (["notFound"] as const) : []), ...(outOfSight ? (["forbidden"] as const) : [])];
}

const keyOfRaw = (kind: WatchedKind, { metadata }: RawObject): Key =>
  keyOf(kind, metadata?.namespace ?? "", metadata?.name ?? "");

/** Keeps a store equal to what an API server has, kind by kind, each on its own watch. */
export class KubeSource {
  readonly #parts: KubeSourceParts;
  readonly #unsynced = new Set<WatchedKind>(WATCHED_KINDS);
  readonly #failures = new Map<WatchedKind, string>();
  readonly #synced: Promise<void>;
  #resolve: () => void = () => undefined;

  constructor(parts: KubeSourceParts) {
    this.#parts = parts;
    this.#synced = new Promise((resolve) => (this.#resolve = resolve));
  }

  /** Kinds whose first list has yet to come. */
  get unlisted(): readonly Kind[] {
    return [...this.#unsynced];
  }

  /** Why we are not synced yet; empty when we are. */
  waitingFor(): string {
    if (this.#unsynced.size === 0) return "";
    return [...this.#unsynced].map((kind) => `${kind}: ${this.#failures.get(kind) ?? "listing"}`).join("; ");
  }

  /** Resolves when every kind has been listed once. */
  async synced(): Promise<void> {
    await this.#synced;
  }

  async start(signal: AbortSignal): Promise<void> {
    const { client, namespace, log, random } = this.#parts;
    await Promise.all(
      WATCHED_KINDS.map((kind) =>
        new ListWatch({
          client,
          path: pathOf(kind, namespace),
          feed: this.#feed(kind),
          log,
          random,
          absentWhen: absentWhen(kind, namespace),
        }).start(signal),
      ),
    );
  }

  #feed(kind: WatchedKind): Feed {
    const { store, metrics, changed, onProgress, log } = this.#parts;
    return {
      replace: (items) => {
        const objects = items.flatMap((raw) => this.#parse(kind, raw) ?? this.#lastGood(kind, raw) ?? []);
        const present = new Set<Key>(objects.map(({ key }) => key));
        for (const key of store.keys(kind)) if (!present.has(key)) this.#parts.onRaw(kind, key, undefined);
        store.replace(kind, objects);
        changed();
      },
      events: (events) => {
        store.transaction(() => {
          for (const event of events) this.#event(kind, event);
        });
        changed();
      },
      ...(kind === "ServiceRoute" ? { progress: onProgress } : {}),
      synced: () => {
        metrics.sourceSynced(kind, true);
        if (this.#unsynced.delete(kind) && this.#unsynced.size === 0) this.#resolve();
      },
      failed: (error) => this.#failed(kind, error, log),
      restarted: (reason) => metrics.watchRestarted(kind, reason),
    };
  }

  #failed(kind: WatchedKind, error: KubeError | undefined, log: Logger): void {
    const last = this.#failures.get(kind);
    if (error === undefined) this.#failures.delete(kind);
    else this.#failures.set(kind, error.message);
    if (error === undefined || last === error.message) return;
    const { plural, group } = KINDS[kind];
    if (error.code === "notFound" && kind === "ServiceRoute")
      log.warn(
        { kind },
        "ServiceRoute is not installed; run: kubectl apply --server-side -f crds/ (it is looked for again)",
      );
    else if (error.code === "notFound")
      log.info({ kind }, `${kind} is not installed in this cluster; it is looked for again`);
    if (error.code !== "forbidden") return;
    if (absentWhen(kind, this.#parts.namespace).includes("forbidden"))
      log.info({ kind }, `${plural} belong to the whole cluster and are not seen from one namespace`);
    else
      log.error(
        { kind },
        `reading ${plural} is forbidden; grant list and watch on ${plural}${group === "" ? "" : `.${group}`}, as manifests/base/rbac.yaml does`,
      );
  }

  #event(kind: WatchedKind, { type, object }: WatchEvent): void {
    const { store } = this.#parts;
    if (type === "DELETED") {
      const key = keyOfRaw(kind, object);
      this.#parts.onRaw(kind, key, undefined);
      store.remove(key);
      return;
    }
    const parsed = this.#parse(kind, object);
    if (parsed !== undefined) store.apply(parsed);
    else if (this.#lastGood(kind, object) === undefined) store.remove(keyOfRaw(kind, object));
  }

  /** What an object was before it became one that cannot be used. A grant that cannot be read grants nothing. */
  #lastGood(kind: WatchedKind, raw: RawObject): KubeObject | undefined {
    const last = kind === "ReferenceGrant" ? undefined : this.#parts.store.peek(keyOfRaw(kind, raw));
    // Another object of the same name was never that.
    return last !== undefined && last.metadata.uid === raw.metadata?.uid ? last : undefined;
  }

  /** An object that cannot be used is told of and skipped; all others go on (F6). */
  #parse(kind: WatchedKind, raw: RawObject) {
    const parsed = parseObject(kind, raw);
    if (parsed.ok) {
      this.#parts.onRaw(kind, parsed.object.key, raw);
      return parsed.object;
    }
    const { namespace = "", name = "" } = raw.metadata ?? {};
    this.#parts.log.error(
      { kind, namespace, name, field: parsed.path.join(".") },
      `the object is ignored: ${parsed.message}`,
    );
    return undefined;
  }
}
