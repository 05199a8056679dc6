import type { ApiClient } from "../kube/api-client.ts";
import { pause } from "../kube/backoff.ts";
import { asKubeError } from "../kube/kube-error.ts";
import { ListWatch, type RawObject } from "../kube/list-watch.ts";
import type { ReplicaReport } from "../routing/programmed.ts";
import type { Logger } from "../telemetry/logger.ts";
import { readNotServing, writeNotServing } from "./not-serving.ts";

const LABEL = "serviceroute.dev/replica";
const SERVED_THROUGH = "serviceroute.dev/served-through";
const GATEWAYS_THROUGH = "serviceroute.dev/gateways-through";
const NOT_SERVING = "serviceroute.dev/not-serving";
const COALESCE_MS = 200;
const HEARTBEAT_MS = 5000;
/** A replica that has not been heard of for this long serves nobody that we know of. */
const LIFETIME_MS = 15_000;
const BURIAL_MS = 60_000;
const WITHDRAW_MS = 2000;
/** A Lease found at start whose renewal is longer ago than this, by the clock of its writer, is taken for dead until it changes. */
const CLOCK_SKEW_MS = 60_000;

interface ReplicaLease extends RawObject {
  readonly metadata?: RawObject["metadata"] & { readonly annotations?: Readonly<Record<string, string>> };
  readonly spec?: { readonly holderIdentity?: string; readonly renewTime?: string };
}

export interface ReplicasParts {
  readonly client: ApiClient;
  readonly namespace: string;
  readonly identity: string;
  readonly log: Logger;
  readonly random: () => number;
  readonly monotonic: () => number;
  /** Whether this replica gets traffic: one that does not has no report. */
  readonly isReady: () => boolean;
  /** What of its table this replica does not serve. */
  readonly notServing: () => ReplicaReport["notServing"];
  /** The reports of all other replicas that are alive, whenever they change. */
  readonly reported: (others: readonly ReplicaReport[]) => void;
}

/**
 * Tells the other replicas how far this one's live table goes, and hears the same of them. Each replica has a Lease of
 * its own: one small object for a whole table, whose resourceVersion compares with that of any route.
 */
export class Replicas {
  readonly #parts: ReplicasParts;
  readonly #others = new Map<string, { report: ReplicaReport; version: string; seenAt: number }>();
  readonly #through = { ServiceRoute: "0", Gateway: "0" };
  #isSynced = false;
  #isPublished = false;
  #publishNow: () => void = () => undefined;

  constructor(parts: ReplicasParts) {
    this.#parts = parts;
  }

  /** The live table has everything of this kind up to here. */
  served(kind: "ServiceRoute" | "Gateway", resourceVersion: string): void {
    this.#through[kind] = resourceVersion;
    this.publish();
  }

  /** There is something new to tell: not only with the next heartbeat, but soon. */
  publish(): void {
    this.#publishNow();
  }

  /** From now on this replica has everything, and counts while it serves traffic. */
  synced(): void {
    this.#isSynced = true;
    this.#publishNow();
  }

  async start(signal: AbortSignal): Promise<void> {
    const { client, log, random } = this.#parts;
    const watch = new ListWatch({
      client,
      path: this.#path,
      selector: { labelSelector: `${LABEL}=true` },
      log,
      random,
      optional: false,
      feed: {
        replace: (items) => {
          const present = new Set(items.map((item) => item.metadata?.name ?? ""));
          for (const name of this.#others.keys()) if (!present.has(name)) this.#others.delete(name);
          for (const item of items) this.#see(item);
          this.#report();
        },
        events: (events) => {
          for (const { type, object } of events) {
            if (type === "DELETED") this.#others.delete(object.metadata?.name ?? "");
            else this.#see(object);
          }
          this.#report();
        },
        synced: () => undefined,
        failed: () => undefined,
        restarted: () => undefined,
      },
    });
    const expiry = setInterval(() => this.#report(), HEARTBEAT_MS);
    await Promise.all([watch.start(signal), this.#publishLoop(signal)]);
    clearInterval(expiry);
    await this.#withdraw();
  }

  get #path(): string {
    return `/apis/coordination.k8s.io/v1/namespaces/${this.#parts.namespace}/leases`;
  }

  get #name(): string {
    return `serviceroute-replica-${this.#parts.identity}`.slice(0, 253);
  }

  /** A Lease that was there when we came proves nothing until it changes; one that does not is of a replica that is gone. */
  #see(raw: RawObject): void {
    const { metadata, spec } = raw as ReplicaLease;
    const replica = spec?.holderIdentity ?? "";
    const annotations = metadata?.annotations ?? {};
    const servedThrough = asVersion(annotations[SERVED_THROUGH]);
    if (replica === "" || replica === this.#parts.identity || servedThrough === undefined) return;
    const name = metadata?.name ?? "";
    const version = metadata?.resourceVersion ?? "";
    const known = this.#others.get(name);
    if (known?.version === version) return;
    const isOld = known === undefined && Date.now() - Date.parse(spec?.renewTime ?? "") > CLOCK_SKEW_MS;
    const seenAt = isOld ? Number.NEGATIVE_INFINITY : this.#parts.monotonic();
    const gatewaysThrough = asVersion(annotations[GATEWAYS_THROUGH]) ?? 0n;
    const notServing = readNotServing(annotations[NOT_SERVING]);
    this.#others.set(name, { report: { replica, servedThrough, gatewaysThrough, notServing }, version, seenAt });
  }

  #report(): void {
    const now = this.#parts.monotonic();
    const alive = [...this.#others.values()].filter(({ seenAt }) => now - seenAt <= LIFETIME_MS);
    this.#parts.reported(alive.map(({ report }) => report));
    this.#bury(now);
  }

  /** Removes what replicas that crashed have left behind. */
  #bury(now: number): void {
    for (const [name, { seenAt }] of this.#others) {
      if (now - seenAt <= BURIAL_MS) continue;
      this.#others.delete(name);
      void this.#remove(name, "the report of a replica that is gone could not be removed");
    }
  }

  #remove(name: string, otherwise: string): Promise<void> {
    const call = { method: "DELETE", path: `${this.#path}/${name}`, signal: AbortSignal.timeout(WITHDRAW_MS) } as const;
    return this.#parts.client.json(call).then(
      () => undefined,
      (error: unknown) => this.#parts.log.warn({ lease: name, err: asKubeError(error).message }, otherwise),
    );
  }

  async #publishLoop(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const called = new AbortController();
      this.#publishNow = () => called.abort();
      if (this.#isSynced && this.#parts.isReady()) await this.#publish(signal);
      else await this.#withdraw();
      await pause(HEARTBEAT_MS, AbortSignal.any([signal, called.signal]));
      if (called.signal.aborted) await pause(COALESCE_MS, signal);
    }
  }

  async #publish(signal: AbortSignal): Promise<void> {
    const { client, namespace, identity, log } = this.#parts;
    const body = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: {
        name: this.#name,
        namespace,
        labels: { [LABEL]: "true" },
        annotations: {
          [SERVED_THROUGH]: this.#through.ServiceRoute,
          [GATEWAYS_THROUGH]: this.#through.Gateway,
          [NOT_SERVING]: writeNotServing(this.#parts.notServing()),
        },
      },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: LIFETIME_MS / 1000,
        renewTime: new Date().toISOString().replace("Z", "000Z"),
      },
    };
    const patch = {
      method: "PATCH",
      path: `${this.#path}/${this.#name}`,
      contentType: "application/merge-patch+json",
    } as const;
    this.#isPublished = true;
    try {
      await client.json({ ...patch, body, signal }).catch(async (error: unknown) => {
        if (asKubeError(error).code !== "notFound") throw error;
        await client.json({ method: "POST", path: this.#path, body, signal });
      });
    } catch (error) {
      if (!signal.aborted) log.warn({ err: asKubeError(error).message }, "this replica could not report how far it is");
    }
  }

  async #withdraw(): Promise<void> {
    if (!this.#isPublished) return;
    this.#isPublished = false;
    await this.#remove(this.#name, "this replica's report could not be removed; it runs out by itself");
  }
}

function asVersion(text: string | undefined): bigint | undefined {
  return text !== undefined && /^[0-9]+$/.test(text) ? BigInt(text) : undefined;
}
