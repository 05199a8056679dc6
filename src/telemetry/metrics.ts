import type { MergedRequests } from "./merged-requests.ts";
import { FAST_SECONDS, RequestMetrics, type ServedBy } from "./request-metrics.ts";
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";

/** Workers count from 1. */
const THIS_PROCESS = 0;

/** Every metric of the process. Labels come from closed sets only, so that no client can make series (F43). */
export class Metrics {
  readonly registry = new Registry();
  readonly #requestRegistry = new Registry();
  readonly requests = new RequestMetrics(this.#requestRegistry);
  /** Of the processes that serve in this one's place, if there are any. */
  #elsewhere: { readonly requests: MergedRequests; readonly collect: () => Promise<void> } | undefined;
  readonly #pass = new Histogram({
    name: "serviceroute_translation_seconds",
    help: "Length of a pass that changed something.",
    buckets: FAST_SECONDS,
    registers: [this.registry],
  });
  readonly #errors = new Counter({
    name: "serviceroute_translation_errors_total",
    help: "Objects whose translation failed by a defect of ours.",
    registers: [this.registry],
  });
  readonly #writes = new Counter({
    name: "serviceroute_status_writes_total",
    help: "Status writes, by result.",
    labelNames: ["kind", "result"],
    registers: [this.registry],
  });
  readonly #watches = new Counter({
    name: "serviceroute_watch_restarts_total",
    help: "Watches that ended and were opened again.",
    labelNames: ["kind", "reason"],
    registers: [this.registry],
  });
  readonly #sources = new Gauge({
    name: "serviceroute_source_synced",
    help: "1 when a kind has been listed.",
    labelNames: ["kind"],
    registers: [this.registry],
  });

  readonly #stale = new Gauge({
    name: "serviceroute_table_stale",
    help: "1 while a table of before the start is served, because the API server does not answer.",
    registers: [this.registry],
  });

  readonly #restarts = new Counter({
    name: "serviceroute_worker_restarts_total",
    help: "Gateway workers that ended and were started again.",
    registers: [this.registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }

  translated(milliseconds: number): void {
    this.#pass.observe(milliseconds / 1000);
  }

  translationFailed(): void {
    this.#errors.inc();
  }

  statusWritten(kind: string, result: "written" | "conflict" | "error"): void {
    this.#writes.inc({ kind, result });
  }

  watchRestarted(kind: string, reason: string): void {
    this.#watches.inc({ kind, reason });
  }

  tableStale(stale: boolean): void {
    this.#stale.set(stale ? 1 : 0);
  }

  workerRestarted(): void {
    this.#restarts.inc();
  }

  /** @param collect  Resolves when `requests` is up to date. */
  serveElsewhere(requests: MergedRequests, collect: () => Promise<void>): void {
    this.#elsewhere = { requests, collect };
  }

  /** See {@link RequestMetrics.keepOnly}. */
  keepOnly(route: string, isServed: (by: ServedBy) => boolean): void {
    this.requests.keepOnly(route, isServed);
    this.#elsewhere?.requests.keepOnly(route, isServed);
  }

  sourceSynced(kind: string, synced: boolean): void {
    this.#sources.set({ kind }, synced ? 1 : 0);
  }

  async text(): Promise<string> {
    const texts = await Promise.all([this.registry.metrics(), this.#requestsText()]);
    return texts.join("");
  }

  async #requestsText(): Promise<string> {
    if (this.#elsewhere === undefined) return this.#requestRegistry.metrics();
    const { requests, collect } = this.#elsewhere;
    await collect();
    requests.said(THIS_PROCESS, await this.#requestRegistry.getMetricsAsJSON());
    return requests.text();
  }
}
