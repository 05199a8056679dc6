import { isDeepStrictEqual } from "node:util";
import { batch } from "@preact/signals-core";
import { type Key, keyOf } from "../api/keys.ts";
import { ALL_KINDS, type Kind } from "../api/kinds.ts";
import type { KubeObject } from "../api/objects.ts";
import type { ClusterSnapshot } from "./cluster-snapshot.ts";
import { TrackedMap } from "./tracked.ts";

const SERVICE_LABEL = "kubernetes.io/service-name";
const NAME_LABEL = "kubernetes.io/metadata.name";
const EVERY = "*";

type Members<K extends Kind> = readonly KubeObject<K>[];

/**
 * Whether a newer version of an object says nothing new to translation. Where the API server counts generations, a
 * change of status alone leaves them as they are.
 */
function sameForTranslation(old: KubeObject, next: KubeObject): boolean {
  const a = old.metadata;
  const b = next.metadata;
  if (a.uid !== b.uid || a.creationTimestamp !== b.creationTimestamp) return false;
  if (a.resourceVersion !== "" && a.resourceVersion === b.resourceVersion) return true;
  if (a.generation !== 0 && b.generation !== 0 && a.generation !== b.generation) return false;
  // What has no version came from a file, perhaps of another build of us, that read its generation otherwise.
  if (old.kind === "ServiceRoute" && a.generation !== 0 && a.resourceVersion !== "")
    return a.deletionTimestamp === b.deletionTimestamp;
  const strip = (object: KubeObject) => ({
    ...object,
    // Of a Service the status says where it is reached, of a Gateway which addresses it has been given; of others it is
    // what we or others conclude.
    ...(object.kind === "Service"
      ? {}
      : { status: object.kind === "Gateway" ? { addresses: object.status?.addresses } : undefined }),
    metadata: { ...object.metadata, resourceVersion: "" },
  });
  return isDeepStrictEqual(strip(old), strip(next));
}

/** An older version than the one we hold, as a lagging API server may serve it (F5). */
function isStale(old: KubeObject, next: KubeObject): boolean {
  return old.metadata.uid === next.metadata.uid && next.metadata.generation < old.metadata.generation;
}

/** The one place that holds what the cluster or the folders say now. Sources write it; computations read it. */
export class Store implements ClusterSnapshot {
  readonly #objects = new TrackedMap<Key, KubeObject>();
  readonly #keys = new Map<Kind, Set<Key>>(ALL_KINDS.map((kind) => [kind, new Set()]));
  readonly #slices = new TrackedMap<string, Members<"EndpointSlice">>();
  readonly #grants = new TrackedMap<string, Members<"ReferenceGrant">>();
  readonly #tlsPolicies = new TrackedMap<string, Members<"BackendTLSPolicy">>();
  readonly #gateways = new TrackedMap<string, Members<"Gateway">>();
  readonly #listeners: ((kind: Kind, key: Key) => void)[] = [];

  get<K extends Kind>(key: Key<K>): KubeObject<K> | undefined {
    return this.#objects.get(key) as KubeObject<K> | undefined;
  }

  peek<K extends Kind>(key: Key<K>): KubeObject<K> | undefined {
    return this.#objects.peek(key) as KubeObject<K> | undefined;
  }

  keys(kind: Kind): ReadonlySet<Key> {
    return this.#keys.get(kind) ?? new Set();
  }

  slicesOf(namespace: string, service: string): Members<"EndpointSlice"> {
    return this.#slices.get(`${namespace}/${service}`) ?? [];
  }

  /** Like {@link slicesOf}, without being told of changes. */
  peekSlicesOf(namespace: string, service: string): Members<"EndpointSlice"> {
    return this.#slices.peek(`${namespace}/${service}`) ?? [];
  }

  grantsIn(namespace: string): Members<"ReferenceGrant"> {
    return this.#grants.get(namespace) ?? [];
  }

  backendTlsPoliciesOf(namespace: string, service: string): Members<"BackendTLSPolicy"> {
    return this.#tlsPolicies.get(`${namespace}/${service}`) ?? [];
  }

  backendTlsPolicies(): Members<"BackendTLSPolicy"> {
    return this.#tlsPolicies.get(EVERY) ?? [];
  }

  gateways(): Members<"Gateway"> {
    return this.#gateways.get(EVERY) ?? [];
  }

  namespaceLabels(name: string): Readonly<Record<string, string>> {
    return { ...this.get(keyOf("Namespace", "", name))?.metadata.labels, [NAME_LABEL]: name };
  }

  /** Told of every key that appears or goes; values are read through the snapshot. */
  onMembership(listener: (kind: Kind, key: Key) => void): void {
    this.#listeners.push(listener);
  }

  /** Runs writes as one change: readers run once, after the last of them. */
  transaction(writes: () => void): void {
    batch(writes);
  }

  apply(object: KubeObject): void {
    const old = this.#objects.peek(object.key);
    if (old === object) return;
    if (old !== undefined && (isStale(old, object) || sameForTranslation(old, object))) return;
    this.transaction(() => {
      if (old !== undefined) this.#unindex(old);
      this.#objects.set(object.key, object);
      this.#index(object);
      const keys = this.#keys.get(object.kind);
      if (keys?.has(object.key) === true) return;
      keys?.add(object.key);
      this.#announce(object.kind, object.key);
    });
  }

  remove(key: Key): void {
    const old = this.#objects.peek(key);
    if (old === undefined) return;
    this.transaction(() => {
      this.#unindex(old);
      this.#objects.delete(key);
      this.#keys.get(old.kind)?.delete(key);
      this.#announce(old.kind, key);
    });
  }

  /** Makes `objects` all that there is of a kind (F3, F4): what is missing is removed in the same change. */
  replace(kind: Kind, objects: readonly KubeObject[], within: (key: Key) => boolean = () => true): void {
    const kept = new Set(objects.map((object) => object.key));
    this.transaction(() => {
      for (const key of [...(this.#keys.get(kind) ?? [])]) if (!kept.has(key) && within(key)) this.remove(key);
      for (const object of objects) this.apply(object);
    });
  }

  #announce(kind: Kind, key: Key): void {
    for (const listener of this.#listeners) listener(kind, key);
  }

  #index(object: KubeObject): void {
    const { namespace, labels } = object.metadata;
    if (object.kind === "EndpointSlice") join(this.#slices, `${namespace}/${labels[SERVICE_LABEL] ?? ""}`, object);
    if (object.kind === "ReferenceGrant") join(this.#grants, namespace, object);
    if (object.kind === "Gateway") join(this.#gateways, EVERY, object);
    if (object.kind === "BackendTLSPolicy")
      for (const service of targetsOf(object)) join(this.#tlsPolicies, service, object);
  }

  #unindex(object: KubeObject): void {
    const { namespace, labels } = object.metadata;
    if (object.kind === "EndpointSlice") leave(this.#slices, `${namespace}/${labels[SERVICE_LABEL] ?? ""}`, object);
    if (object.kind === "ReferenceGrant") leave(this.#grants, namespace, object);
    if (object.kind === "Gateway") leave(this.#gateways, EVERY, object);
    if (object.kind === "BackendTLSPolicy")
      for (const service of targetsOf(object)) leave(this.#tlsPolicies, service, object);
  }
}

/** Where a policy is found: under `namespace/service` of each Service that it names, and among all. */
const targetsOf = ({ metadata, spec }: KubeObject<"BackendTLSPolicy">): ReadonlySet<string> =>
  new Set([EVERY, ...spec.targetRefs.map(({ name }) => `${metadata.namespace}/${name}`)]);

/** Kept in order of name, so that the order of events cannot show. */
function join<V extends KubeObject>(index: TrackedMap<string, readonly V[]>, key: string, object: V): void {
  const others = (index.peek(key) ?? []).filter((other) => other.key !== object.key);
  const at = others.findIndex((other) => other.key > object.key);
  index.set(key, others.toSpliced(at < 0 ? others.length : at, 0, object));
}

function leave<V extends KubeObject>(index: TrackedMap<string, readonly V[]>, key: string, object: V): void {
  const rest = (index.peek(key) ?? []).filter((other) => other.key !== object.key);
  if (rest.length === 0) index.delete(key);
  else index.set(key, rest);
}
