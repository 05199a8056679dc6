import type { ApiClient } from "../kube/api-client.ts";
import { pause } from "../kube/backoff.ts";
import { asKubeError } from "../kube/kube-error.ts";
import { ListWatch } from "../kube/list-watch.ts";
import type { ListenerReport, ReplicaReport } from "../routing/programmed.ts";
import type { Logger } from "../telemetry/logger.ts";
import { writeListeners } from "./listener-report.ts";
import { LIFETIME_MS, LISTENERS, ReplicaBook, SERVED_THROUGH } from "./replica-book.ts";

const LABEL = "serviceroute.dev/replica";
const COALESCE_MS = 200;
const HEARTBEAT_MS = 5000;
const RETRY_MS = 1000;
const REQUEST_MS = 4000;
/** Our own heartbeat comes back on the watch: when nothing does, it is the watch that is dead, not the others. */
const SILENCE_MS = 2.4 * HEARTBEAT_MS;
const WITHDRAW_MS = 2000;

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
  /** The reports of all other replicas that are alive, whenever they change; undefined while nothing is heard of them. */
  readonly reported: (others: readonly ReplicaReport[] | undefined) => void;
}

/**
 * Tells the other replicas how far this one's live table goes, and hears the same of them. Each replica has a Lease of
 * its own: one small object for a whole table, whose resourceVersion compares with that of any route.
 */
export class Replicas {
  readonly #parts: ReplicasParts;
  readonly #book: ReplicaBook;
  #servedThrough = "0";
  #reported: string | undefined;
  #isSynced = false;
  #isPublished = false;
  #spokeAt = Number.NEGATIVE_INFINITY;
  #publishNow: () => void = () => undefined;

  constructor(parts: ReplicasParts) {
    this.#parts = parts;
    const { identity, monotonic } = parts;
    this.#book = new ReplicaBook({ identity, monotonic, heartbeatMs: HEARTBEAT_MS, now: Date.now });
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
      absentWhen: [],
      silenceMs: SILENCE_MS,
      feed: {
        replace: (items) => {
          this.#book.replace(items);
          this.#report();
        },
        events: (events) => {
          this.#book.changed(events);
          this.#report();
        },
        synced: () => undefined,
        failed: (error) => error !== undefined && this.#cutOff(),
        // Others may come while it is closed. Our own heartbeat is the first to be heard when it is open again.
        restarted: () => {
          this.#cutOff();
          this.#speak();
        },
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
    return `serviceroute-replica-${this.#parts.identity}`;
  }

  #report(): void {
    const alive = this.#book.alive();
    const versions = alive && [...alive.keys()].join();
    if (versions !== this.#reported) this.#parts.reported(alive && [...alive.values()]);
    this.#reported = versions;
    this.#bury();
  }

  #cutOff(): void {
    this.#book.cutOff();
    this.#report();
  }

  /** A watch that always ends makes no storm of heartbeats. */
  #speak(): void {
    const now = this.#parts.monotonic();
    if (now - this.#spokeAt < HEARTBEAT_MS) return;
    this.#spokeAt = now;
    this.publish();
  }

  /** Removes what replicas that crashed have left behind. */
  #bury(): void {
    for (const { name, version } of this.#book.takeDead()) {
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
      const isDone = counts ? await this.#publish(signal) : await this.#withdraw();
      await pause(isDone ? HEARTBEAT_MS : RETRY_MS, AbortSignal.any([signal, called.signal]));
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
