import type { Key } from "../api/keys.ts";
import type { TableDiff, RouteKey } from "../routing/routing-table.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { DesiredGatewayStatus } from "../routing/status-report.ts";
import type { DesiredRouteStatus } from "../routing/status-report.ts";
import type { Output } from "../translate/output.ts";
import type { Translator } from "../translate/translator.ts";
import type { ListenerLiveness } from "./listener-liveness.ts";
import type { Liveness } from "./liveness.ts";

/** Serves a table; declared here because data planes and the controller do not know each other. */
export interface DataPlane {
  publish(diff: TableDiff): void;
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

/** A status that leads to itself would loop; two rounds are what a change needs. */
const MAX_ROUNDS = 10;

/** Owner of the last published tables and statuses. Each pass takes everything that changed since the one before. */
export class Controller {
  readonly gatewayStatuses = new Map<Key<"Gateway">, DesiredGatewayStatus>();
  readonly #translator: Translator;
  readonly #dataPlane: DataPlane;
  readonly #liveness: Liveness;
  readonly #listeners: ListenerLiveness;
  readonly #sink: StatusSink;
  readonly #observe: ControllerObserver;
  readonly #log: Logger;
  #open = false;
  #passing = false;

  constructor(parts: {
    translator: Translator;
    dataPlane: DataPlane;
    liveness: Liveness;
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

  #publish(output: Output): void {
    this.#listeners.published(output.diff.listeners);
    this.#serve(output.diff);
    for (const key of output.removed) this.#liveness.forget(key);
    for (const [key, translation] of output.translations) {
      if (translation !== undefined) this.#liveness.published(key, translation);
    }
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
