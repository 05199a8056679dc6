import { type Key, partsOf } from "../api/keys.ts";
import { KINDS } from "../api/kinds.ts";
import type { ApiClient } from "../kube/api-client.ts";
import { Backoff, pause } from "../kube/backoff.ts";
import { type KubeError, asKubeError } from "../kube/kube-error.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { LiveObject } from "./live-objects.ts";

const MIN_INTERVAL_MS = 1000;
const IN_FLIGHT = 8;
const FIGHT_WINDOW_MS = 60_000;
const FIGHT_REWRITES = 5;
const FIGHT_PAUSE_MS = 60_000;

export interface StatusWrite {
  readonly status: unknown;
  /** Called when the API server has taken it. */
  readonly done?: () => void;
}

export interface StatusWriterParts {
  readonly client: ApiClient;
  readonly log: Logger;
  readonly random: () => number;
  readonly monotonic: () => number;
  readonly isLeader: () => boolean;
  readonly live: (key: Key) => LiveObject | undefined;
  /** What to write over `live`; undefined when there is nothing to write. */
  readonly desired: (key: Key, live: LiveObject) => StatusWrite | undefined;
  readonly written: (key: Key, result: "written" | "conflict" | "error") => void;
  /** Given the object as the API server has it after a write, which the watch brings only later. */
  readonly answered: (key: Key, raw: object) => void;
  /** The API server will never take this status. */
  readonly refused: (key: Key, live: LiveObject, why: string) => void;
  /** Another writer keeps changing a status back. */
  readonly fighting: (key: Key, live: LiveObject) => void;
}

interface Memory {
  /** When this object may be written again. */
  notBefore: number;
  /** When the same status was written again because somebody had changed it. */
  rewrites: number[];
  last: unknown;
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
  mark(keys: Iterable<Key>): void {
    for (const key of keys) this.#dirty.add(key);
    this.#wake();
  }

  forget(key: Key): void {
    this.#dirty.delete(key);
    this.#memory.delete(key);
  }

  async start(signal: AbortSignal): Promise<void> {
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
    if (live === undefined) return;
    const write = this.#parts.desired(key, live);
    if (write === undefined) return;
    const memory = this.#remember(key);
    const again = saysTheSame(memory.last, write.status);
    if ((again && this.#isFighting(key, memory, live)) || !this.#parts.isLeader()) {
      this.#dirty.add(key);
      return;
    }
    try {
      this.#parts.answered(key, await this.#patch(key, live, write.status, signal));
      memory.failures = undefined;
      if (again) memory.rewrites.push(this.#parts.monotonic());
      memory.last = write.status;
      this.#parts.written(key, "written");
      write.done?.();
    } catch (error) {
      if (!signal.aborted) this.#failed(key, live, memory, asKubeError(error));
    }
  }

  async #patch(key: Key, live: LiveObject, status: unknown, signal: AbortSignal): Promise<object> {
    const { kind, namespace, name } = partsOf(key);
    const { group, version, plural } = KINDS[kind];
    const scope = namespace === "" ? "" : `/namespaces/${namespace}`;
    return this.#parts.client.json<object>({
      method: "PATCH",
      path: `/apis/${group}/${version}${scope}/${plural}/${name}/status`,
      contentType: "application/merge-patch+json",
      body: { metadata: { resourceVersion: live.resourceVersion, uid: live.uid }, status },
      signal,
    });
  }

  #failed(key: Key, live: LiveObject, memory: Memory, error: KubeError): void {
    const { log, monotonic, random } = this.#parts;
    if (error.code === "notFound") return;
    this.#parts.written(key, error.code === "conflict" ? "conflict" : "error");
    if (error.code === "invalid") {
      this.#parts.refused(key, live, error.message);
      log.error(
        { object: key, err: error.message },
        "the API server refuses this status; it is not tried again until it changes",
      );
      return;
    }
    memory.failures ??= new Backoff(random);
    memory.notBefore = monotonic() + Math.max(memory.failures.next(), error.retryAfterMs);
    this.#dirty.add(key);
    if (error.code !== "conflict")
      log.warn({ object: key, code: error.code, err: error.message }, "a status could not be written; trying again");
  }

  #remember(key: Key): Memory {
    let memory = this.#memory.get(key);
    if (memory === undefined)
      this.#memory.set(key, (memory = { notBefore: 0, rewrites: [], last: undefined, failures: undefined }));
    memory.notBefore = this.#parts.monotonic() + MIN_INTERVAL_MS;
    return memory;
  }

  /** The fifth time within a minute that what we wrote was changed and we would write the same again, we wait. Conflicts do not count. */
  #isFighting(key: Key, memory: Memory, live: LiveObject): boolean {
    const now = this.#parts.monotonic();
    memory.rewrites = memory.rewrites.filter((at) => at > now - FIGHT_WINDOW_MS);
    if (memory.rewrites.length < FIGHT_REWRITES - 1) return false;
    memory.rewrites = [];
    memory.notBefore = now + FIGHT_PAUSE_MS;
    this.#parts.log.warn({ object: key }, "another controller keeps rewriting this status; waiting a minute");
    this.#parts.fighting(key, live);
    return true;
  }

  async #rest(ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await pause(ms, AbortSignal.any([signal, woken.signal]));
  }
}

/** Equal but for times. */
function saysTheSame(a: unknown, b: unknown): boolean {
  const plain = (status: unknown): string =>
    JSON.stringify(status, (name, value: unknown) => (name === "lastTransitionTime" ? undefined : value));
  return plain(a) === plain(b);
}
