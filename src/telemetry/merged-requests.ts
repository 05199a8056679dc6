import type { ServedBy } from "./request-metrics.ts";
import { AggregatorRegistry, type Registry } from "prom-client";

/** The metrics of one process, as its registry tells them to another process. */
export type RequestSeries = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>;
type Labels = Readonly<Partial<Record<string, string | number>>>;

const merged = (all: readonly RequestSeries[]): Registry => AggregatorRegistry.aggregate([...all]);

/** Counts only: what a process had open is gone with it. */
const counts = (series: RequestSeries): RequestSeries =>
  series.filter(({ type }) => ["counter", "histogram"].includes(String(type)));

/**
 * Metrics of several processes as if they were of one. What a process has counted stays counted when it is gone: a
 * counter that goes down would be taken for a restart of everything.
 */
export class MergedRequests {
  readonly #last = new Map<number, RequestSeries>();
  #gone: readonly RequestSeries[] = [];

  /** What a process says of itself; it holds until it says more. */
  said(process: number, series: RequestSeries): void {
    this.#last.set(process, series);
  }

  /** A process has ended. */
  ended(process: number): void {
    const last = this.#last.get(process);
    this.#last.delete(process);
    if (last === undefined) return;
    this.#gone = [...this.#gone, counts(last)];
    if (this.#gone.length > 1) void this.#compact(this.#gone);
  }

  /** Forgets what processes that are gone have served a route by, except as `isServed` says. */
  keepOnly(route: string, isServed: (by: ServedBy) => boolean): void {
    if (this.#gone.length === 0) return;
    const isKept = ({ route: of, rule, backend }: Labels): boolean =>
      of !== route || isServed({ route, rule: String(rule), backend: String(backend) });
    this.#gone = this.#gone.map((series) =>
      series.map((metric) => ({ ...metric, values: metric.values.filter(({ labels }) => isKept(labels)) })),
    );
  }

  async text(): Promise<string> {
    return merged([...this.#last.values(), ...this.#gone]).metrics();
  }

  async #compact(gone: readonly RequestSeries[]): Promise<void> {
    const one = await merged(gone).getMetricsAsJSON();
    if (this.#gone === gone) this.#gone = [one];
  }
}
