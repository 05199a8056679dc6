import type { ApiClient } from "../kube/api-client.ts";
import { pause } from "../kube/backoff.ts";
import { asKubeError } from "../kube/kube-error.ts";
import { ListWatch, type RawObject } from "../kube/list-watch.ts";
import type { ListenerReport, ReplicaReport } from "../routing/programmed.ts";
import type { Logger } from "../telemetry/logger.ts";
import { readListeners, writeListeners } from "./listener-report.ts";

const LABEL = "serviceroute.dev/replica";
const SERVED_THROUGH = "serviceroute.dev/served-through";
const LISTENERS = "serviceroute.dev/listeners";
const COALESCE_MS = 200;
const HEARTBEAT_MS = 5000;
const RETRY_MS = 1000;
const REQUEST_MS = 4000;
/** Our own heartbeat comes back on the watch: when nothing does, it is the watch that is dead, not the others. */
const SILENCE_MS = 2.4 * HEARTBEAT_MS;
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

interface Known {
  readonly report: ReplicaReport;
  readonly version: string;
  /** When it changed last, as seen from here; long ago for one that was old when it was found. */
  readonly seenAt: number;
  /** The same for its burial, which nobody gets before they have been watched for long enough. */
  readonly since: number;
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
  /** Which listeners of its table this replica serves. */
  readonly listeners: () => ListenerReport;
  /** The reports of all other replicas that are alive, whenever they change. */
  readonly reported: (others: readonly ReplicaReport[]) => void;
}

/**
 * Tells the other replicas how far this one's live table goes, and hears the same of them. Each replica has a Lease of
 * its own: one small object for a whole table, whose resourceVersion compares with that of any route.
 */
export class Replicas {
  readonly #parts: ReplicasParts;
  readonly #others = new Map<string, Known>();
  #servedThrough = "0";
  /** When the watch said anything last; before the first list nothing is known of the others. */
  #heardAt = Number.NEGATIVE_INFINITY;
  #reported = "";
  #isSynced = false;
  #isPublished = false;
  #publishNow: () => void = () => undefined;

  constructor(parts: ReplicasParts) {
    this.#parts = parts;
  }

  /** The live table has every ServiceRoute up to here. */
  served(resourceVersion: string): void {
    this.#servedThrough = resourceVersion;
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
      silenceMs: SILENCE_MS,
      feed: {
        replace: (items) => {
          this.#heard();
          const present = new Set(items.map((item) => item.metadata?.name ?? ""));
          for (const name of this.#others.keys()) if (!present.has(name)) this.#others.delete(name);
          for (const item of items) this.#see(item);
          this.#report();
        },
        events: (events) => {
          this.#heard();
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

  /** A Lease that was there when we came counts for its lifetime, unless even its writer's clock says that it is old. */
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
    const listeners = readListeners(annotations[LISTENERS]);
    this.#others.set(name, {
      report: { replica, servedThrough, listeners },
      version,
      seenAt,
      since: this.#parts.monotonic(),
    });
  }

  /** After a silence everybody gets a lifetime to be heard again: the others were as cut off from us as we from them. */
  #heard(): void {
    const now = this.#parts.monotonic();
    if (now - this.#heardAt > SILENCE_MS)
      for (const [name, known] of this.#others) this.#others.set(name, { ...known, seenAt: now, since: now });
    this.#heardAt = now;
  }

  /** Nobody is taken for dead while it is the watch that says nothing. */
  #report(): void {
    const now = this.#parts.monotonic();
    if (now - this.#heardAt > LIFETIME_MS) return;
    const alive = [...this.#others].filter(([, { seenAt }]) => now - seenAt <= LIFETIME_MS);
    const versions = JSON.stringify(alive.map(([name, { version }]) => [name, version]));
    if (versions !== this.#reported) this.#parts.reported(alive.map(([, { report }]) => report));
    this.#reported = versions;
    this.#bury(now);
  }

  /** Removes what replicas that crashed have left behind. */
  #bury(now: number): void {
    for (const [name, { since, version }] of this.#others) {
      if (now - since <= BURIAL_MS) continue;
      this.#others.delete(name);
      const unchanged = { preconditions: { resourceVersion: version } };
      void this.#remove(name, "the report of a replica that is gone could not be removed", unchanged);
    }
  }

  #remove(name: string, otherwise: string, body?: object): Promise<void> {
    const call = { method: "DELETE", path: `${this.#path}/${name}`, signal: AbortSignal.timeout(WITHDRAW_MS) } as const;
    return this.#parts.client.json(body === undefined ? call : { ...call, body }).then(
      () => undefined,
      (error: unknown) => this.#parts.log.warn({ lease: name, err: asKubeError(error).message }, otherwise),
    );
  }

  async #publishLoop(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const called = new AbortController();
      this.#publishNow = () => called.abort();
      const counts = this.#isSynced && this.#parts.isReady();
      const done = counts ? await this.#publish(signal) : await this.#withdraw();
      await pause(done ? HEARTBEAT_MS : RETRY_MS, AbortSignal.any([signal, called.signal]));
      if (called.signal.aborted) await pause(COALESCE_MS, signal);
    }
  }

  /** @returns Whether the others can know it now. */
  async #publish(signal: AbortSignal): Promise<boolean> {
    const { client, namespace, identity, log } = this.#parts;
    const body = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: {
        name: this.#name,
        namespace,
        labels: { [LABEL]: "true" },
        annotations: {
          [SERVED_THROUGH]: this.#servedThrough,
          [LISTENERS]: writeListeners(this.#parts.listeners()),
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
    const limited = (): AbortSignal => AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]);
    try {
      await client.json({ ...patch, body, signal: limited() }).catch(async (error: unknown) => {
        if (asKubeError(error).code !== "notFound") throw error;
        await client.json({ method: "POST", path: this.#path, body, signal: limited() });
      });
      return true;
    } catch (error) {
      const why = { err: asKubeError(error).message };
      if (!signal.aborted) log.error(why, "this replica could not report how far it is, and is not counted without");
      return false;
    }
  }

  async #withdraw(): Promise<true> {
    if (!this.#isPublished) return true;
    this.#isPublished = false;
    await this.#remove(this.#name, "this replica's report could not be removed; it runs out by itself");
    return true;
  }
}

function asVersion(text: string | undefined): bigint | undefined {
  return text !== undefined && /^[0-9]+$/.test(text) ? BigInt(text) : undefined;
}
