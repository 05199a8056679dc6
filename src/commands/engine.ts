import { displayName } from "../api/keys.ts";
import type { GatewayOptions } from "../proxy/gateway-context.ts";
import { Controller, type StatusSink } from "../controller/controller.ts";
import { ListenerLiveness } from "../controller/listener-liveness.ts";
import { Liveness } from "../controller/liveness.ts";
import { EmbeddedGateway } from "../proxy/embedded-gateway.ts";
import { Store } from "../snapshot/store.ts";
import type { AccessLog } from "../telemetry/access-log.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { gatewayObserver } from "./gateway-observer.ts";
import type { TranslateOptions } from "../translate/options.ts";
import { Translator } from "../translate/translator.ts";

export interface EngineParts {
  readonly options: TranslateOptions;
  /** How requests are taken and answered. */
  readonly serving: GatewayOptions;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Absent: requests are not logged. */
  readonly accessLog?: AccessLog | undefined;
  /** Whether other replicas count for Programmed. */
  readonly replicas: boolean;
  readonly sink: StatusSink;
  /** Told when the gateway here has said something of one of its listeners. */
  readonly onListenerState?: () => void;
}

/** The pipeline from store to traffic, put together: what `gateway`, `controller` and `demo` share. */
export interface Engine {
  readonly store: Store;
  readonly translator: Translator;
  readonly controller: Controller;
  readonly gateway: EmbeddedGateway;
  readonly liveness: Liveness;
  readonly listeners: ListenerLiveness;
}

const TICK_MS = 30_000;

/** Tells the pipeline the time, now and until `signal` aborts: certificates expire without anybody's doing. */
export function followTime({ translator, controller }: Engine, signal: AbortSignal): void {
  translator.setTime(Date.now());
  const ticking = setInterval(() => {
    translator.setTime(Date.now());
    controller.changed();
  }, TICK_MS).unref();
  signal.addEventListener("abort", () => clearInterval(ticking), { once: true });
}

export function createEngine(parts: EngineParts): Engine {
  const { options, serving, log, metrics, accessLog, replicas, sink, onListenerState } = parts;
  const store = new Store();
  const translator = new Translator(store, options);
  const liveness = new Liveness((key, live) => translator.setLiveness(key, live), !replicas);
  const listeners = new ListenerLiveness((id, state) => translator.setListenerState(id, state), !replicas);
  const gateway = new EmbeddedGateway(translator.table, {
    ...serving,
    observe: gatewayObserver(metrics, log, accessLog),
    random: Math.random,
    onListenerState: (id, state) => {
      if (state?.kind === "failed") log.error({ listener: id, reason: state.reason }, state.message);
      listeners.said(id, state);
      controller.changed();
      onListenerState?.();
    },
  });
  const controller: Controller = new Controller({
    translator,
    dataPlane: gateway,
    liveness,
    listeners,
    log,
    observe: { passed: (ms) => metrics.translated(ms), failed: () => metrics.translationFailed() },
    sink: {
      ...sink,
      routesChanged: (keys) => {
        const all = [...keys];
        for (const key of all) if (store.peek(key) === undefined) metrics.requests.forget(displayName(key));
        sink.routesChanged(all);
      },
      gatewaysChanged: (keys) => sink.gatewaysChanged(keys),
    },
  });
  metrics.requests.countConnections(() => gateway.connections);
  return { store, translator, controller, gateway, liveness, listeners };
}
