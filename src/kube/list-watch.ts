import type { Logger } from "../telemetry/logger.ts";
import type { ApiClient } from "./api-client.ts";
import { Backoff, pause } from "./backoff.ts";
import { KubeError, asKubeError } from "./kube-error.ts";

const PAGE = "500";
/** Bookmarks come once a minute: a watch that is silent for longer is dead, whatever its connection says (F2). */
export const SILENCE_MS = 75_000;
const MIN_RESTART_MS = 1000;
/** A watch that lasted this long worked, whether it brought anything or not. */
const LONG_WATCH_MS = 10_000;
const ABSENT_RETRY_MS = 5000;
const RETURN_SPREAD_MS = 1000;

export interface RawObject {
  readonly metadata?: {
    readonly name?: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
  };
}
export type WatchEvent = { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: RawObject };

/** What a list-watch feeds. Calls are made in order; each stands for one change of everything it brings. */
export interface Feed {
  /** All that there is: what is missing is gone. */
  replace(items: readonly RawObject[]): void;
  events(events: readonly WatchEvent[]): void;
  /** Up to here everything has been handed over. */
  progress?(resourceVersion: string): void;
  /** Listed once, or known not to exist: nobody needs to wait. */
  synced(): void;
  /** Why there is no list, undefined when there is one again. */
  failed(error: KubeError | undefined): void;
  restarted(reason: string): void;
}

export interface ListWatchParts {
  readonly client: ApiClient;
  readonly path: string;
  readonly selector?: Readonly<Record<string, string>>;
  readonly feed: Feed;
  readonly log: Logger;
  readonly random: () => number;
  /** What counts as an empty list at first, and is asked again: a resource that does not exist, or that nobody may see. */
  readonly absentWhen: readonly ("notFound" | "forbidden")[];
  readonly silenceMs?: number;
  /** Over how long those who wait for an API server come back to it. */
  readonly returnSpreadMs?: number;
}

const KNOWN_TYPES = ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"];

/** Raised inside to start over with a list. */
class Relist extends Error {}

interface RawEvent {
  readonly type?: string;
  readonly object?: RawObject & { readonly code?: number; readonly message?: string };
}

/**
 * Lists a resource page by page, then watches it, for ever. A list replaces everything at once and only when it is
 * complete; a watch that ends is opened again where it stopped; a version that is gone leads to a new list.
 */
export class ListWatch {
  readonly #parts: ListWatchParts;
  readonly #backoff: Backoff;
  #resourceVersion = "";
  #watchesWithoutProgress = 0;
  #hasListed = false;
  #mayReturnEarly = true;

  constructor(parts: ListWatchParts) {
    this.#parts = parts;
    this.#backoff = new Backoff(parts.random);
  }

  async start(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#list(signal);
        await this.#watchOn(signal);
      } catch (error) {
        await this.#recover(error, signal);
      }
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { client, path, selector, feed } = this.#parts;
    const items: RawObject[] = [];
    let next = "";
    do {
      const query = { ...selector, limit: PAGE, ...(next === "" ? {} : { continue: next }) };
      const page = await client.json<{
        metadata?: { resourceVersion?: string; continue?: string };
        items?: RawObject[];
      }>({ method: "GET", path, query, signal });
      items.push(...(page.items ?? []));
      next = page.metadata?.continue ?? "";
      this.#resourceVersion = page.metadata?.resourceVersion ?? "";
    } while (next !== "");
    feed.failed(undefined);
    feed.replace(items);
    feed.progress?.(this.#resourceVersion);
    feed.synced();
    this.#hasListed = true;
    this.#mayReturnEarly = true;
    this.#watchesWithoutProgress = 0;
  }

  async #watchOn(signal: AbortSignal): Promise<void> {
    for (;;) {
      const before = this.#resourceVersion;
      const started = performance.now();
      const reason = await this.#watchOnce(signal);
      if (signal.aborted) return;
      this.#parts.feed.restarted(reason);
      // Two watches that bring nothing may mean that the version is gone and nobody says so (F3).
      this.#watchesWithoutProgress = before === this.#resourceVersion ? this.#watchesWithoutProgress + 1 : 0;
      const lasted = performance.now() - started;
      if (lasted > LONG_WATCH_MS) this.#backoff.reset();
      if (this.#watchesWithoutProgress >= 2 && (reason !== "ended" || lasted < LONG_WATCH_MS)) throw new Relist(reason);
      if (lasted < MIN_RESTART_MS) await pause(MIN_RESTART_MS * (0.5 + this.#parts.random()), signal);
    }
  }

  /** @returns Why the watch ended. */
  async #watchOnce(signal: AbortSignal): Promise<string> {
    const { client, path, selector, random, silenceMs = SILENCE_MS } = this.#parts;
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(), silenceMs);
    const timeoutSeconds = String(Math.round(300 + random() * 300));
    const query = {
      ...selector,
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion: this.#resourceVersion,
      timeoutSeconds,
    };
    try {
      const stream = await client.stream({
        method: "GET",
        path,
        query,
        signal: AbortSignal.any([signal, silence.signal]),
      });
      let rest = "";
      const decoder = new TextDecoder();
      for await (const chunk of stream) {
        timer.refresh();
        const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        this.#handle(lines);
      }
      return "ended";
    } catch (error) {
      if (error instanceof Relist) throw error;
      if (error instanceof KubeError && error.code !== "unreachable") throw error;
      return silence.signal.aborted ? "silent" : "broken";
    } finally {
      clearTimeout(timer);
    }
  }

  #handle(lines: readonly string[]): void {
    const events: WatchEvent[] = [];
    let last = "";
    let failure: Error | undefined;
    for (const line of lines) {
      const event = line === "" ? undefined : this.#parse(line);
      if (event?.type === "ERROR") {
        failure =
          event.object?.code === 410
            ? new Relist("expired")
            : new KubeError("server", event.object?.message ?? "watch error");
        break;
      }
      last = event?.object?.metadata?.resourceVersion ?? last;
      if (event !== undefined && isChange(event)) events.push(event);
    }
    if (events.length > 0) this.#deliver(events);
    if (last !== "") this.#progressed(last);
    if (failure !== undefined) throw failure;
  }

  /** Whoever takes them does not throw; should it all the same, that is a defect of ours and must not pass for a broken watch. */
  #deliver(events: readonly WatchEvent[]): void {
    const { feed, log, path } = this.#parts;
    try {
      feed.events(events);
    } catch (error) {
      log.error({ path, err: error }, "a change could not be taken in; listing again");
      throw new Relist("defect");
    }
  }

  #progressed(resourceVersion: string): void {
    this.#resourceVersion = resourceVersion;
    this.#backoff.reset();
    this.#parts.feed.progress?.(resourceVersion);
  }

  /** What nobody understands is told of and passed over; all else goes on (F6). */
  #parse(line: string): RawEvent | undefined {
    const { log, path } = this.#parts;
    let event: RawEvent | undefined;
    try {
      event = JSON.parse(line) as RawEvent;
    } catch {
      event = undefined;
    }
    if (event?.type === "ERROR") return event;
    if (event?.object?.metadata?.resourceVersion === undefined)
      log.warn({ path }, "a watch event without an object was ignored");
    else if (!KNOWN_TYPES.includes(event.type ?? ""))
      log.warn({ path, type: event.type }, "a watch event of unknown type was ignored");
    else return event;
    return undefined;
  }

  async #recover(error: unknown, signal: AbortSignal): Promise<void> {
    const { feed, log, path, absentWhen } = this.#parts;
    if (signal.aborted) return;
    if (error instanceof Relist) {
      log.info({ path, reason: error.message }, "listing again");
      feed.restarted(error.message === "expired" ? "expired" : "stalled");
      return this.#backoff.wait(signal);
    }
    const failure = asKubeError(error);
    if (failure.code === "expired") return this.#backoff.wait(signal);
    feed.failed(failure);
    const absent = absentWhen.some((code) => code === failure.code);
    if (absent && !this.#hasListed) {
      feed.synced();
      return pause(ABSENT_RETRY_MS * (0.5 + this.#parts.random() / 2), signal);
    }
    log.warn(
      { path, code: failure.code, err: failure.message },
      absent ? "the resource is gone; its last objects stay" : "listing failed; trying again",
    );
    if (failure.code === "unreachable") return this.#waitForReturn(signal);
    return this.#backoff.wait(signal, failure.retryAfterMs);
  }

  /**
   * Until the next try is due or the API server has answered somebody, whichever is first. That counts once for each
   * list: a server that answers some and refuses others is asked ever more slowly all the same.
   */
  async #waitForReturn(signal: AbortSignal): Promise<void> {
    const { client, random, returnSpreadMs = RETURN_SPREAD_MS } = this.#parts;
    const outage = this.#mayReturnEarly ? client.outage : undefined;
    await this.#backoff.wait(outage === undefined ? signal : AbortSignal.any([signal, outage]));
    if (outage?.aborted !== true) return;
    this.#mayReturnEarly = false;
    this.#backoff.reset();
    await pause(returnSpreadMs * random(), signal);
  }
}

function isChange(event: RawEvent): event is WatchEvent {
  return event.type !== "BOOKMARK";
}
