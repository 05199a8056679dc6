import { setTimeout as sleep } from "node:timers/promises";
import type { ListenerId } from "../routing/listener.ts";
import type { ListenerState } from "../routing/programmed.ts";
import type { RoutingTableView, TableDiff } from "../routing/routing-table.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { MergedRequests } from "../telemetry/merged-requests.ts";
import { ConnectionShares } from "./connection-shares.ts";
import { ListenerAgreement } from "./listener-agreement.ts";
import type { FromWorker, ToWorker, WorkerEvents, WorkerProcess } from "./messages.ts";
import { MetricsQuestions } from "./metrics-questions.ts";
import { PortClaims } from "./port-claims.ts";
import { TableFeed } from "./table-feed.ts";

const FIRST_RESTART_MS = 100;
const LONGEST_RESTART_MS = 10_000;
/** Of the last one that ran: as long as nobody is served, somebody is tried. */
const LONGEST_OUTAGE_MS = 1000;
/** Without any worker, after which it is said that nothing is served: not of one that is back at once. */
const OUTAGE_MS = 2000;
/** One that has lived as long is started again at once when it ends. */
const SETTLED_MS = 60_000;
const LOOK_MS = 1000;
/** Looks without a sign of life, after which a worker is taken for stuck and ended. */
const MOST_SILENT_LOOKS = 15;
/** Beyond the time for draining. */
const LAST_WAIT_MS = 2000;

interface WorkerPoolParts {
  readonly count: number;
  readonly table: RoutingTableView;
  readonly maxConnections: number;
  readonly log: Logger;
  readonly requests: MergedRequests;
  readonly spawn: (worker: number, events: WorkerEvents) => WorkerProcess;
  /** See {@link PortClaims}. */
  readonly probe: (socket: string) => Promise<string | undefined>;
  readonly onListenerState: (id: ListenerId, state: ListenerState | undefined) => void;
  readonly onRestart: () => void;
}

interface Slot {
  readonly number: number;
  /** Of its process among all that there ever were. */
  birth: number;
  process: WorkerProcess | undefined;
  feed: TableFeed | undefined;
  startedAt: number;
  /** Of the worker before; undefined: there was none, or the one after it serves. */
  endedAt: number | undefined;
  failures: number;
  silentLooks: number;
}

/** The data plane in processes of its own, each with the whole table: what is slow in this process is slow for no request. */
export class WorkerPool {
  readonly #parts: WorkerPoolParts;
  readonly #slots: readonly Slot[];
  readonly #listeners: ListenerAgreement;
  readonly #shares: ConnectionShares;
  readonly #claims: PortClaims;
  readonly #metrics: MetricsQuestions;
  /** Who waits for a version to be served by all, in order. */
  readonly #waiting: { readonly version: number; readonly served: () => void }[] = [];
  readonly #timers = new Set<NodeJS.Timeout>();
  #version = 0;
  #births = 0;
  #isDraining = false;

  constructor(parts: WorkerPoolParts) {
    this.#parts = parts;
    const { count, onListenerState, maxConnections, probe, requests } = parts;
    this.#slots = Array.from({ length: count }, (_, index) => ({
      number: index + 1,
      birth: 0,
      process: undefined,
      feed: undefined,
      startedAt: 0,
      endedAt: undefined,
      failures: 0,
      silentLooks: 0,
    }));
    this.#listeners = new ListenerAgreement(count, onListenerState);
    this.#claims = new PortClaims(probe);
    this.#metrics = new MetricsQuestions(requests);
    this.#shares = new ConnectionShares(maxConnections, count, (worker, most, turn) =>
      this.#slots[worker - 1]?.process?.send({ kind: "allowance", most, turn }),
    );
  }

  /** The first table starts the workers, even an empty one; it comes to them when they are there. */
  publish(diff: TableDiff): void {
    if (this.#version++ === 0) this.#start();
    this.#listeners.published(diff.listeners, this.#version);
    for (const { feed } of this.#slots) feed?.offer(diff, this.#version);
  }

  /** Calls back once all workers serve what has been published so far. */
  whenServed(served: () => void): void {
    this.#waiting.push({ version: this.#version, served });
    this.#settle();
  }

  /** Why nobody can be served; empty: somebody can. */
  problem(): string {
    const serves = this.#slots.some(({ feed }) => feed !== undefined && feed.served > 0);
    return serves ? "" : "no gateway worker has its table yet";
  }

  /** Asks every worker for its metrics; one that does not answer in time is counted as it was before. */
  async collectMetrics(): Promise<void> {
    const running = this.#slots.flatMap(({ number, process }) =>
      process === undefined ? [] : [[number, process] as const],
    );
    await this.#metrics.ask(new Map(running));
  }

  /** Lets requests in flight end, for at most `limitMs`; then ends the workers. */
  async drain(limitMs: number): Promise<void> {
    this.#isDraining = true;
    for (const timer of this.#timers) clearTimeout(timer);
    const running = this.#slots.flatMap(({ process }) => process ?? []);
    for (const process of running) process.send({ kind: "drain", limitMs });
    const limit = performance.now() + limitMs + LAST_WAIT_MS;
    while (this.#slots.some(({ process }) => process !== undefined) && performance.now() < limit) await sleep(10);
    for (const { process } of this.#slots) process?.kill();
  }

  #start(): void {
    if (this.#isDraining) return;
    for (const slot of this.#slots) this.#spawn(slot);
    this.#timers.add(setInterval(() => this.#look(), LOOK_MS).unref());
  }

  #spawn(slot: Slot): void {
    slot.birth = ++this.#births;
    slot.startedAt = performance.now();
    slot.silentLooks = 0;
    const process = this.#parts.spawn(slot.number, {
      said: (message) => {
        if (slot.process === process) this.#heard(slot, message);
      },
      ended: (why) => {
        if (slot.process === process) this.#ended(slot, why);
      },
    });
    slot.process = process;
  }

  #heard(slot: Slot, message: FromWorker): void {
    slot.silentLooks = 0;
    switch (message.kind) {
      case "started":
        return this.#started(slot);
      case "served":
        slot.feed?.acknowledged(message.version);
        this.#reportBack(slot);
        return this.#settle();
      case "listener":
        return this.#listeners.said(slot.number, message.version, message.id, message.state);
      case "claim":
        return void this.#claim(slot, message.socket);
      case "release":
        return this.#claims.release(slot.birth, message.socket);
      case "beat":
        return this.#shares.beat(slot.number, message.connections, message.most, message.turn);
      case "news":
        return this.#tellOthers(slot, { kind: "news", from: slot.number, news: message.news });
      case "metrics":
        return this.#metrics.answered(slot.number, message.id, message.series);
      default:
        return message satisfies never;
    }
  }

  /** It gets the whole table out of this process, whatever the API server does meanwhile (F55). */
  #started(slot: Slot): void {
    this.#shares.started(slot.number);
    const { table } = this.#parts;
    slot.feed = new TableFeed((bytes, version) => slot.process?.send({ kind: "table", bytes, version }));
    const { listeners, routes, endpoints } = table;
    slot.feed.offer(
      { listeners: new Map(listeners), routes: new Map(routes), endpoints: new Map(endpoints) },
      this.#version,
    );
  }

  #tellOthers(slot: Slot, message: ToWorker): void {
    for (const other of this.#slots) if (other !== slot) other.process?.send(message);
  }

  async #claim(slot: Slot, socket: string): Promise<void> {
    const { process, birth } = slot;
    const problem = await this.#claims.claim(birth, socket);
    if (slot.birth === birth && slot.process !== undefined) process?.send({ kind: "claimed", socket, problem });
    else this.#claims.ended(birth);
  }

  #ended(slot: Slot, why: string): void {
    const worker = slot.number;
    slot.process = undefined;
    slot.feed = undefined;
    this.#claims.ended(slot.birth);
    this.#shares.ended(worker);
    this.#metrics.ended(worker);
    this.#tellOthers(slot, { kind: "gone", worker });
    if (this.#isDraining) return;
    const isLast = this.#slots.every(({ process }) => process === undefined);
    if (isLast)
      this.#later(OUTAGE_MS, () => {
        if (this.problem() !== "") this.#listeners.allEnded();
      });
    slot.failures = performance.now() - slot.startedAt >= SETTLED_MS ? 0 : slot.failures;
    const longestMs = isLast ? LONGEST_OUTAGE_MS : LONGEST_RESTART_MS;
    const waitMs = slot.failures === 0 ? 0 : Math.min(FIRST_RESTART_MS * 2 ** (slot.failures - 1), longestMs);
    slot.failures++;
    slot.endedAt ??= performance.now();
    this.#parts.log.error({ worker, why, restartInMs: waitMs }, "a gateway worker ended; it is started again");
    this.#parts.onRestart();
    this.#later(waitMs, () => this.#spawn(slot));
  }

  #later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }

  /** The time in which fewer than all have served is told, because clients may have noticed it (F55). */
  #reportBack(slot: Slot): void {
    if (slot.endedAt === undefined) return;
    const downMs = Math.round(performance.now() - slot.endedAt);
    slot.endedAt = undefined;
    this.#parts.log.warn({ worker: slot.number, downMs }, "a gateway worker is back with its table");
  }

  #settle(): void {
    const served = Math.min(...this.#slots.map(({ feed }) => feed?.served ?? 0));
    for (let [next] = this.#waiting; next !== undefined && next.version <= served; [next] = this.#waiting) {
      this.#waiting.shift();
      next.served();
    }
  }

  /** By looks, not by the clock: where this process was late itself, workers are not to blame. */
  #look(): void {
    for (const slot of this.#slots) {
      if (slot.process === undefined || slot.silentLooks++ < MOST_SILENT_LOOKS) continue;
      this.#parts.log.error({ worker: slot.number }, "a gateway worker shows no sign of life; it is ended");
      slot.process.kill();
    }
  }
}
