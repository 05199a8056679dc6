import { Controller, type StatusSink } from "../controller/controller.ts";
import { Liveness } from "../controller/liveness.ts";
import { EmbeddedGateway } from "../proxy/embedded-gateway.ts";
import type { GatewayObserver } from "../proxy/gateway-context.ts";
import { Store } from "../snapshot/store.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { SecretProblem } from "../translate/certificates.ts";
import type { TranslateOptions } from "../translate/options.ts";
import { Translator } from "../translate/translator.ts";

export interface EngineParts {
  readonly options: TranslateOptions;
  readonly reasonHeader: boolean;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Whether other replicas count for Programmed. */
  readonly replicas: boolean;
  readonly sink: StatusSink;
  readonly secretProblem?: SecretProblem;
}

/** The pipeline from store to traffic, put together: what `gateway`, `controller` and `demo` share. */
export interface Engine {
  readonly store: Store;
  readonly translator: Translator;
  readonly controller: Controller;
  readonly gateway: EmbeddedGateway;
  readonly liveness: Liveness;
}

function observer(metrics: Metrics): GatewayObserver {
  return {
    failure: (_response, reason) => metrics.gatewayAnswer(reason),
    retry: () => metrics.retried(),
    answered: (response, _route, started) =>
      metrics.answered(response.statusCode, (performance.now() - started) / 1000),
  };
}

export function createEngine({
  options,
  reasonHeader,
  log,
  metrics,
  replicas,
  sink,
  secretProblem,
}: EngineParts): Engine {
  const store = new Store();
  const translator = new Translator(store, options, secretProblem);
  const liveness = new Liveness((key, live) => translator.setLiveness(key, live), !replicas);
  const gateway = new EmbeddedGateway(translator.table, {
    showReason: reasonHeader,
    observe: observer(metrics),
    random: Math.random,
    onListenerState: (id, state) => {
      if (state?.kind === "failed") log.error({ listener: id, reason: state.reason }, state.message);
      translator.setListenerState(id, state);
      controller.changed();
    },
  });
  const controller: Controller = new Controller({
    translator,
    dataPlane: gateway,
    liveness,
    log,
    observe: { passed: (ms) => metrics.translated(ms), failed: () => metrics.translationFailed() },
    sink,
  });
  return { store, translator, controller, gateway, liveness };
}
