import type { Key } from "../api/keys.ts";
import { type RouteKey, type TableDiff, emptyDiff } from "../routing/routing-table.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { DesiredGatewayStatus } from "../routing/status-report.ts";
import type { DesiredRouteStatus } from "../routing/status-report.ts";
import type { Output } from "../translate/output.ts";
import type { Translator } from "../translate/translator.ts";
import type { ListenerLiveness } from "./listener-liveness.ts";
import type { LivenessCount, Version } from "./liveness.ts";
import { ServedBatches } from "./served-batches.ts";

/** Serves a table; declared here because data planes and the controller do not know each other. */
export interface DataPlane {
  publish(diff: TableDiff): void;
  /** Calls back, in order, once everything that has been published so far is served: at once where it is served here. */
  whenServed(served: () => void): void;
}

/** Where statuses go. Called with keys only: whoever writes them takes what is newest then. */
export interface StatusSink {
  routesChanged(keys: Iterable<RouteKey>): void;
  gatewaysChanged(keys: Iterable<Key<"Gateway">>): void;
}

export interface ControllerObserver {
  /** A pass that changed something, with its length in milliseconds. */
  passed(milliseconds: number): void;
  failed(key: Key): void;
}

/** A route that is published, and of which the data plane has not said yet that it is served. */
interface Unserved {
  /** Whether another route of that name was there before. */
  readonly isNew: boolean;
  /** undefined: it is gone. */
  readonly version?: Version | undefined;
}

const joined = (older: Unserved, newer: Unserved): Unserved => ({ ...newer, isNew: older.isNew || newer.isNew });

/** A status that leads to itself would loop; two rounds are what a change needs. */
const MAX_ROUNDS = 10;

/** Owner of the last published tables and statuses. Each pass takes everything that changed since the one before. */
export class Controller {
  readonly gatewayStatuses = new Map<Key<"Gateway">, DesiredGatewayStatus>();
  readonly #translator: Translator;
  readonly #dataPlane: DataPlane;
  readonly #liveness: LivenessCount;
  readonly #listeners: ListenerLiveness;
  readonly #sink: StatusSink;
  readonly #observe: ControllerObserver;
  readonly #log: Logger;
  readonly #unserved: ServedBatches<RouteKey, Unserved>;
  #open = false;
  #passing = false;

  constructor(parts: {
    translator: Translator;
    dataPlane: DataPlane;
    liveness: LivenessCount;
    listeners: ListenerLiveness;
    sink: StatusSink;
    observe: ControllerObserver;
    log: Logger;
  }) {
    this.#translator = parts.translator;
    this.#dataPlane = parts.dataPlane;
    this.#liveness = parts.liveness;
    this.#listeners = parts.listeners;
    this.#sink = parts.sink;
    this.#observe = parts.observe;
    this.#log = parts.log;
    this.#unserved = new ServedBatches(
      (served) => this.#dataPlane.whenServed(served),
      (batch) => this.#served(batch),
    );
  }

  /** Whether the first table is live. */
  get isLive(): boolean {
    return this.#open;
  }

  /** What is to be said of a route; undefined when it is not there, and before the first table is live. */
  routeStatus(key: RouteKey): DesiredRouteStatus | undefined {
    return this.#open ? this.#translator.routeStatus(key) : undefined;
  }

  routeKeys(): Iterable<RouteKey> {
    return this.#open ? this.#translator.routeKeys() : [];
  }

  /** Called when every source has listed once: nothing is published before (F10). */
  open(): void {
    this.#open = true;
    // A table with nothing in it is one as well.
    this.#serve(emptyDiff());
    this.changed();
  }

  /** Runs a pass now: the first change is never made to wait. What changes meanwhile is part of the same pass. */
  changed(): void {
    if (!this.#open || this.#passing) return;
    this.#passing = true;
    try {
      for (let round = 0; round < MAX_ROUNDS; round++) {
        const started = performance.now();
        const output = this.#translator.flush();
        if (output === undefined) return;
        this.#publish(output);
        this.#observe.passed(performance.now() - started);
      }
      this.#log.error({ rounds: MAX_ROUNDS }, "a change leads to itself; the rest waits for the next change");
    } finally {
      this.#passing = false;
    }
  }

  /** A data plane that throws is a defect of ours; statuses and the next change go on all the same. */
  #serve(diff: TableDiff): void {
    try {
      this.#dataPlane.publish(diff);
    } catch (error) {
      this.#log.error({ err: error }, "the data plane could not follow a change");
    }
  }

  #served(batch: ReadonlyMap<RouteKey, Unserved>): void {
    for (const [key, { isNew, version }] of batch) {
      if (isNew) this.#liveness.forget(key);
      if (version !== undefined) this.#liveness.published(key, version);
    }
    this.changed();
  }

  #publish(output: Output): void {
    this.#listeners.published(output.diff.listeners);
    this.#serve(output.diff);
    for (const key of output.removed) this.#unserved.add(key, { isNew: true });
    for (const [key, version] of output.translations) this.#unserved.add(key, { isNew: false, version }, joined);
    this.#unserved.published();
    for (const [key, status] of output.gatewayStatuses)
      if (status === undefined) this.gatewayStatuses.delete(key);
      else this.gatewayStatuses.set(key, status);
    this.#sink.routesChanged(output.routeStatuses.keys());
    this.#sink.gatewaysChanged(output.gatewayStatuses.keys());
    for (const { key, error } of output.failures) {
      this.#observe.failed(key);
      this.#log.error({ object: key, err: error }, "translation failed; the last good version stays");
    }
  }
}
