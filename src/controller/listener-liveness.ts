import { type Key, keyOf } from "../api/keys.ts";
import type { Listener, ListenerId } from "../routing/listener.ts";
import { EVERY_LISTENER, type ListenerState, type ReplicaReport } from "../routing/programmed.ts";

/** Which version of a Gateway is in the table. */
export interface GatewayVersion {
  readonly uid: string;
  readonly generation: number;
  readonly resourceVersion: string;
}

/**
 * Joins what this replica's data plane says of each listener with what the other replicas say: it serves when it does
 * on all of them, and has failed when one cannot bind its port. That all have a Gateway's generation is latched.
 */
export class ListenerLiveness {
  readonly #set: (id: ListenerId, state: ListenerState | undefined) => void;
  /** What is in this replica's table, and what its data plane says of it; undefined: nothing yet. */
  readonly #own = new Map<ListenerId, ListenerState | undefined>();
  readonly #versions = new Map<Key<"Gateway">, string>();
  /** Gateways that some replica may not have yet: the resourceVersion that it has to reach. */
  readonly #waiting = new Map<Key<"Gateway">, bigint>();
  #others: readonly ReplicaReport[] = [];
  #counting: boolean;

  /** @param counting  False until the first reports of other replicas are in: nothing is said to serve everywhere before. */
  constructor(set: (id: ListenerId, state: ListenerState | undefined) => void, counting: boolean) {
    this.#set = set;
    this.#counting = counting;
  }

  /** These listeners came into this replica's table, changed there, or left it. */
  published(listeners: ReadonlyMap<ListenerId, Listener | undefined>): void {
    for (const [id, listener] of listeners) {
      if (listener === undefined) this.#own.delete(id);
      else if (!this.#own.has(id)) this.#own.set(id, undefined);
      this.#tell(id);
    }
  }

  /** This replica's table has the Gateway in that version; undefined: the Gateway is gone. */
  gatewayPublished(key: Key<"Gateway">, gateway: GatewayVersion | undefined): void {
    if (gateway === undefined) {
      this.#versions.delete(key);
      this.#waiting.delete(key);
      return;
    }
    const version = `${gateway.uid}/${gateway.generation}`;
    if (this.#versions.get(key) === version) return;
    this.#versions.set(key, version);
    this.#waiting.set(key, /^[0-9]+$/.test(gateway.resourceVersion) ? BigInt(gateway.resourceVersion) : 0n);
    this.#settle();
    for (const id of this.#own.keys()) if (gatewayOf(id) === key) this.#tell(id);
  }

  /** This replica's data plane said something of a listener. */
  said(id: ListenerId, state: ListenerState | undefined): void {
    if (!this.#own.has(id)) return;
    this.#own.set(id, state);
    this.#tell(id);
  }

  /** The reports of all other replicas that are ready now. */
  reported(others: readonly ReplicaReport[]): void {
    const touched = new Set([...this.#others, ...others].flatMap(({ notServing }) => [...notServing.keys()]));
    const all = !this.#counting || touched.has(EVERY_LISTENER);
    this.#others = others;
    this.#counting = true;
    const settled = this.#settle();
    if (!all && touched.size === 0 && settled.size === 0) return;
    for (const id of this.#own.keys()) if (all || touched.has(id) || settled.has(gatewayOf(id))) this.#tell(id);
  }

  /** What of its table this replica does not serve, for its own report. */
  notServing(): ReplicaReport["notServing"] {
    const out = new Map<ListenerId, string>();
    for (const [id, state] of this.#own)
      if (state?.kind !== "serving") out.set(id, state === undefined ? "" : state.message);
    return out;
  }

  /** Gateways that every replica has now and that some did not have before. */
  #settle(): Set<Key<"Gateway">> {
    const settled = new Set<Key<"Gateway">>();
    if (!this.#counting) return settled;
    for (const [key, resourceVersion] of this.#waiting) {
      if (this.#others.some(({ gatewaysThrough }) => gatewaysThrough < resourceVersion)) continue;
      this.#waiting.delete(key);
      settled.add(key);
    }
    return settled;
  }

  #tell(id: ListenerId): void {
    this.#set(id, this.#joined(id));
  }

  #joined(id: ListenerId): ListenerState | undefined {
    if (!this.#own.has(id)) return undefined;
    const own = this.#own.get(id);
    const missing = this.#others.flatMap(
      ({ notServing }) => notServing.get(id) ?? notServing.get(EVERY_LISTENER) ?? [],
    );
    if (own?.kind === "failed") missing.push(own.message);
    const failures = missing.filter((why) => why !== "");
    const [first] = failures;
    if (first !== undefined) return failed(first, failures.length, this.#others.length + 1);
    const pending = own === undefined || missing.length > 0 || !this.#counting || this.#waiting.has(gatewayOf(id));
    return pending ? undefined : own;
  }
}

function failed(why: string, count: number, total: number): ListenerState {
  const where = total === 1 ? "" : `on ${count} of ${total} replicas: `;
  return { kind: "failed", reason: "PortUnavailable", message: `${where}${why}` };
}

function gatewayOf(id: ListenerId): Key<"Gateway"> {
  const [namespace = "", name = ""] = id.split("/");
  return keyOf("Gateway", namespace, name);
}
