import { monitorEventLoopDelay } from "node:perf_hooks";
import { Gauge, Registry } from "prom-client";
import type { RequestSeries } from "./merged-requests.ts";
import { RequestMetrics } from "./request-metrics.ts";

const QUANTILES = [50, 99, 100];
const RESOLUTION_MS = 10;

/** Metrics of one process that serves: of its requests, and of itself. */
export class WorkerMetrics {
  readonly #registry = new Registry();
  readonly requests = new RequestMetrics(this.#registry);

  constructor(worker: number) {
    const registers = [this.#registry];
    const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    delay.enable();
    new Gauge({
      name: "serviceroute_worker_event_loop_delay_seconds",
      help: "How late the event loop of a gateway worker was since the metrics were last read, by quantile.",
      labelNames: ["worker", "quantile"],
      registers,
      collect() {
        // What is measured is the time between two ticks.
        for (const quantile of QUANTILES)
          this.set(
            { worker, quantile: quantile / 100 },
            Math.max(delay.percentile(quantile) / 1e9 - RESOLUTION_MS / 1e3, 0),
          );
        delay.reset();
      },
    });
    new Gauge({
      name: "serviceroute_worker_resident_memory_bytes",
      help: "Memory of a gateway worker.",
      labelNames: ["worker"],
      registers,
      collect() {
        this.set({ worker }, process.memoryUsage.rss());
      },
    });
  }

  async series(): Promise<RequestSeries> {
    return this.#registry.getMetricsAsJSON();
  }
}
