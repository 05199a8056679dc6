import { Controller, type StatusSink } from "../controller/controller.ts";
import { ListenerLiveness } from "../controller/listener-liveness.ts";
import { Liveness, type LivenessCount } from "../controller/liveness.ts";
import { ProxyLiveness } from "../controller/proxy-liveness.ts";
import { Store } from "../snapshot/store.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Gateway, GatewayFactory } from "./data-plane.ts";
import { forgetSeries } from "./gateway-observer.ts";
import type { TranslateOptions } from "../translate/options.ts";
import { Translator } from "../translate/translator.ts";

export interface EngineParts {
  readonly options: TranslateOptions;
  readonly gateway: GatewayFactory;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Whether other replicas count for Programmed. */
  readonly replicas: boolean;
  /** Whether proxies count for Programmed, and not replicas. */
  readonly proxies?: boolean;
  readonly sink: StatusSink;
  /** Told when the gateway here has said something of one of its listeners. */
  readonly onListenerState?: () => void;
}

/** The pipeline from store to traffic, put together: what `gateway`, `controller` and `demo` share. */
export interface Engine {
  readonly store: Store;
  readonly translator: Translator;
  readonly controller: Controller;
  readonly gateway: Gateway;
  readonly liveness: LivenessCount;
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
  const { options, log, metrics, replicas, proxies = false, sink, onListenerState } = parts;
  const store = new Store();
  const translator = new Translator(store, options);
  const setLiveness: Translator["setLiveness"] = (key, live) => translator.setLiveness(key, live);
  const ofProxies = proxies ? new ProxyLiveness(setLiveness) : undefined;
  const liveness = ofProxies ?? new Liveness(setLiveness, !replicas);
  const listeners = new ListenerLiveness((id, state) => translator.setListenerState(id, state), !replicas);
  let isDue = false;
  // Of thousands of routes at once: one pass for all.
  const soon = (): void => {
    if (isDue) return;
    isDue = true;
    queueMicrotask(() => {
      isDue = false;
      controller.changed();
    });
  };
  const gateway = parts.gateway(translator.table, {
    listenerState: (id, state) => {
      if (state?.kind === "failed") log.error({ listener: id, reason: state.reason }, state.message);
      listeners.said(id, state);
      controller.changed();
      onListenerState?.();
    },
    routeServed: (key, byGateway) => {
      ofProxies?.said(key, byGateway);
      soon();
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
        forgetSeries(metrics, translator.table, all);
        sink.routesChanged(all);
      },
      gatewaysChanged: (keys) => sink.gatewaysChanged(keys),
    },
  });
  return { store, translator, controller, gateway, liveness, listeners };
}
