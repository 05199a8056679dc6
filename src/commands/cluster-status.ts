import type { Condition } from "../api/condition.ts";
import { type Key, keyOf, partsOf } from "../api/keys.ts";
import { CONTROLLER_NAME } from "../api/kinds.ts";
import type { ServiceRouteStatus } from "../api/service-route.ts";
import type { Controller } from "../controller/controller.ts";
import type { ApiClient } from "../kube/api-client.ts";
import { BUILTIN_GATEWAY } from "../routing/listener.ts";
import type { RouteKey } from "../routing/routing-table.ts";
import type { Store } from "../snapshot/store.ts";
import { EventRecorder, type Happening, MAX_NOTE } from "../status/events.ts";
import { latched, latchedGateway } from "../status/latch.ts";
import { type LiveObject, LiveObjects } from "../status/live-objects.ts";
import { type GatewayStatus, mergeConditions, mergeGatewayStatus, mergeRouteStatus } from "../status/merge.ts";
import { type StatusWrite, StatusWriter } from "../status/status-writer.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";

interface ClusterStatusParts {
  readonly client: ApiClient;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly identity: string;
  readonly isLeader: () => boolean;
  /** The only class that is ours to speak of, if there is one. */
  readonly gatewayClass: string | undefined;
  readonly store: () => Store;
  readonly controller: () => Controller;
}

const FIGHT: Happening = {
  type: "Warning",
  reason: "StatusConflict",
  note: "Another controller keeps rewriting this status; it is left alone for a minute.",
};
const now = (): string => new Date().toISOString().replace(/\.[0-9]+Z$/, "Z");

/** Joins desired statuses, live objects and the writer: which status each object of a cluster should have. */
export class ClusterStatus {
  readonly live = new LiveObjects();
  readonly writer: StatusWriter;
  readonly #parts: ClusterStatusParts;
  readonly #events: EventRecorder;

  constructor(parts: ClusterStatusParts) {
    this.#parts = parts;
    this.#events = new EventRecorder(parts.client, parts.log, parts.identity);
    this.writer = new StatusWriter({
      client: parts.client,
      log: parts.log,
      random: Math.random,
      monotonic: () => performance.now(),
      isLeader: parts.isLeader,
      live: (key) => this.live.get(key),
      desired: (key, live) => this.#desired(key, live),
      answered: (key, raw) => this.live.setNewer(key, raw),
      written: (key, result) => parts.metrics.statusWritten(partsOf(key).kind, result),
      refused: (key, { uid }, why) =>
        this.#events.tell(key, uid, { type: "Warning", reason: "StatusRefused", note: why.slice(0, MAX_NOTE) }),
      fighting: (key, live) => this.#events.tell(key, live.uid, FIGHT),
    });
  }

  /** An object as the API server has it now; undefined = gone. Who else wrote its status, it is looked at again. */
  seen(key: Key, raw: unknown): void {
    if (raw === undefined) {
      this.live.delete(key);
      this.writer.forget(key);
      return;
    }
    this.live.set(key, raw);
    this.writer.mark([key]);
  }

  #desired(key: Key, live: LiveObject): StatusWrite | undefined {
    const { kind } = partsOf(key);
    if (kind === "ServiceRoute") return this.#route(key as RouteKey, live);
    if (kind === "Gateway") return this.#gateway(key as Key<"Gateway">, live);
    return kind === "GatewayClass" ? this.#gatewayClass(key as Key<"GatewayClass">, live) : undefined;
  }

  #route(key: RouteKey, live: LiveObject): StatusWrite | undefined {
    const desired = this.#parts.controller().routeStatus(key);
    if (desired?.generation !== live.generation) return undefined;
    const before = live.status as ServiceRouteStatus | undefined;
    const merged = mergeRouteStatus(before, latched(before, desired), now());
    if (merged === before) return undefined;
    const done = (): void => this.#events.record(key, live.uid, before?.conditions ?? [], merged.conditions ?? []);
    return { status: merged, done };
  }

  #gateway(key: Key<"Gateway">, live: LiveObject): StatusWrite | undefined {
    const desired = this.#parts.controller().gatewayStatuses.get(key);
    if (key === BUILTIN_GATEWAY || desired?.generation !== live.generation) return undefined;
    const before = live.status as GatewayStatus | undefined;
    const merged = mergeGatewayStatus(before, latchedGateway(before, desired), now());
    if (merged === before) return undefined;
    const done = (): void => this.#events.record(key, live.uid, before?.conditions ?? [], merged.conditions ?? []);
    return { status: merged, done };
  }

  #gatewayClass(key: Key<"GatewayClass">, live: LiveObject): StatusWrite | undefined {
    const { name } = partsOf(key);
    const object = this.#parts.store().peek(keyOf("GatewayClass", "", name));
    if (object?.spec.controllerName !== CONTROLLER_NAME || name !== (this.#parts.gatewayClass ?? name))
      return undefined;
    const before = (live.status as { conditions?: Condition[] } | undefined)?.conditions ?? [];
    const { parametersRef } = object.spec;
    const accepted = parametersRef === undefined;
    const condition = {
      type: "Accepted",
      status: accepted ? ("True" as const) : ("False" as const),
      reason: accepted ? "Accepted" : "InvalidParameters",
      message: accepted
        ? "Gateways of this class are served."
        : `${parametersRef.kind} ${parametersRef.name} cannot be used as parameters`,
      observedGeneration: live.generation,
    };
    const [merged] = mergeConditions(before, [condition], now());
    const old = before.find((c) => c.type === "Accepted");
    const same =
      old !== undefined &&
      merged !== undefined &&
      old.status === merged.status &&
      old.reason === merged.reason &&
      old.observedGeneration === live.generation;
    return same ? undefined : { status: { conditions: [...before.filter((c) => c.type !== "Accepted"), merged] } };
  }
}
