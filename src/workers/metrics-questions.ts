import type { MergedRequests, RequestSeries } from "../telemetry/merged-requests.ts";
import type { WorkerProcess } from "./messages.ts";

/** Shorter than what those who scrape metrics wait. */
const ANSWER_MS = 1000;

interface Question {
  readonly missing: Set<number>;
  readonly allAnswered: () => void;
}

/** Asks workers for their metrics. */
export class MetricsQuestions {
  readonly #requests: MergedRequests;
  readonly #open = new Map<number, Question>();
  #lastId = 0;

  constructor(requests: MergedRequests) {
    this.#requests = requests;
  }

  /** Resolves when all have answered, or their time is up. */
  async ask(workers: ReadonlyMap<number, WorkerProcess>): Promise<void> {
    if (workers.size === 0) return;
    const id = ++this.#lastId;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ANSWER_MS);
      const allAnswered = (): void => (clearTimeout(timer), resolve());
      this.#open.set(id, { missing: new Set(workers.keys()), allAnswered });
      for (const worker of workers.values()) worker.send({ kind: "askMetrics", id });
    });
    this.#open.delete(id);
  }

  answered(worker: number, id: number, series: RequestSeries): void {
    this.#requests.said(worker, series);
    const question = this.#open.get(id);
    if (question !== undefined) this.#without(worker, question);
  }

  /** Nobody waits for it. */
  ended(worker: number): void {
    this.#requests.ended(worker);
    for (const question of this.#open.values()) this.#without(worker, question);
  }

  #without(worker: number, { missing, allAnswered }: Question): void {
    missing.delete(worker);
    if (missing.size === 0) allAnswered();
  }
}
