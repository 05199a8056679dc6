import { type Key, partsOf } from "../api/keys.ts";
import { KINDS } from "../api/kinds.ts";
import type { ApiClient } from "../kube/api-client.ts";
import { Backoff, pause } from "../kube/backoff.ts";
import { KubeError } from "../kube/kube-error.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { LiveObject } from "./live-objects.ts";

const MIN_INTERVAL_MS = 1000;
const IN_FLIGHT = 8;
const FIGHT_WINDOW_MS = 60_000;
const FIGHT_WRITES = 30;
const FIGHT_PAUSE_MS = 60_000;

export interface StatusWriterParts {
  readonly client: ApiClient;
  readonly log: Logger;
  readonly random: () => number;
  readonly monotonic: () => number;
  readonly isLeader: () => boolean;
  readonly live: (key: Key) => LiveObject | undefined;
  /** The status to write over `live`; undefined when there is nothing to write. */
  readonly desired: (key: Key, live: LiveObject) => unknown;
  readonly written: (key: Key, result: "written" | "conflict" | "error") => void;
}

interface Memory {
  /** When this object may be written again. */
  notBefore: number;
  readonly writes: number[];
  failures: Backoff | undefined;
}

/**
 * Brings statuses to the API server, level-triggered: keys come in, what is newest is written. At most once a second
 * for each object, only when it differs, only over the version that was read, and never in a fight with another
 * writer (F23). A status that the server refuses is not tried again until it changes (F26).
 */
export class StatusWriter {
  readonly #parts: StatusWriterParts;
  readonly #dirty = new Set<Key>();
  readonly #busy = new Set<Key>();
  readonly #memory = new Map<Key, Memory>();
  #wake: () => void = () => undefined;

  constructor(parts: StatusWriterParts) {
    this.#parts = parts;
  }

  /** Objects that wait to be looked at. */
  get backlog(): number {
    return this.#dirty.size;
  }

  mark(keys: Iterable<Key>): void {
    for (const key of keys) this.#dirty.add(key);
    this.#wake();
  }

  forget(key: Key): void {
    this.#dirty.delete(key);
    this.#memory.delete(key);
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#wake(), { once: true });
    while (!signal.aborted) {
      const waitMs = this.#parts.isLeader() ? this.#launch(signal) : MIN_INTERVAL_MS;
      await this.#rest(waitMs, signal);
    }
  }

  /** Starts what may be written now; returns how long nothing else can be. */
  #launch(signal: AbortSignal): number {
    const now = this.#parts.monotonic();
    let next = MIN_INTERVAL_MS;
    for (const key of this.#dirty) {
      if (this.#busy.size >= IN_FLIGHT) return MIN_INTERVAL_MS;
      if (this.#busy.has(key)) continue;
      const due = (this.#memory.get(key)?.notBefore ?? 0) - now;
      if (due > 0) {
        next = Math.min(next, due);
        continue;
      }
      this.#dirty.delete(key);
      this.#busy.add(key);
      void this.#write(key, signal).finally(() => {
        this.#busy.delete(key);
        this.#wake();
      });
    }
    return next;
  }

  async #write(key: Key, signal: AbortSignal): Promise<void> {
    const live = this.#parts.live(key);
    const status = live === undefined ? undefined : this.#parts.desired(key, live);
    if (live === undefined || status === undefined) return;
    const memory = this.#remember(key);
    try {
      if (!this.#parts.isLeader()) return void this.#dirty.add(key);
      await this.#patch(key, live, status, signal);
      memory.failures = undefined;
      this.#parts.written(key, "written");
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof KubeError)) throw error;
      this.#failed(key, memory, error);
    }
  }

  async #patch(key: Key, live: LiveObject, status: unknown, signal: AbortSignal): Promise<void> {
    const { kind, namespace, name } = partsOf(key);
    const { group, version, plural } = KINDS[kind];
    const scope = namespace === "" ? "" : `/namespaces/${namespace}`;
    await this.#parts.client.json({
      method: "PATCH",
      path: `/apis/${group}/${version}${scope}/${plural}/${name}/status`,
      contentType: "application/merge-patch+json",
      body: { metadata: { resourceVersion: live.resourceVersion, uid: live.uid }, status },
      signal,
    });
  }

  #failed(key: Key, memory: Memory, error: KubeError): void {
    const { log, monotonic, random } = this.#parts;
    if (error.code === "notFound") return;
    this.#parts.written(key, error.code === "conflict" ? "conflict" : "error");
    if (error.code === "invalid")
      return log.error(
        { object: key, err: error.message },
        "the API server refuses this status; it is not tried again until it changes",
      );
    memory.failures ??= new Backoff(random);
    memory.notBefore = monotonic() + Math.max(memory.failures.next(), error.retryAfterMs);
    this.#dirty.add(key);
    if (error.code !== "conflict")
      log.warn({ object: key, code: error.code, err: error.message }, "a status could not be written; trying again");
  }

  /** Sets when the object may be written next: in a second, or later when somebody keeps changing it back. */
  #remember(key: Key): Memory {
    const now = this.#parts.monotonic();
    let memory = this.#memory.get(key);
    if (memory === undefined) this.#memory.set(key, (memory = { notBefore: 0, writes: [], failures: undefined }));
    while ((memory.writes[0] ?? now) < now - FIGHT_WINDOW_MS) memory.writes.shift();
    memory.writes.push(now);
    const fighting = memory.writes.length > FIGHT_WRITES;
    if (fighting)
      this.#parts.log.warn({ object: key }, "another controller may be rewriting this status; waiting a minute");
    memory.notBefore = now + (fighting ? FIGHT_PAUSE_MS : MIN_INTERVAL_MS);
    return memory;
  }

  async #rest(ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await pause(ms, AbortSignal.any([signal, woken.signal]));
  }
}
