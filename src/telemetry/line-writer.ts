import type { Outcome, Outlet } from "./outlet.ts";

/** Bytes that wait for a blocked reader before lines are dropped, so that a full pipe never blocks traffic (F54). */
const MAX_BACKLOG = 4 * 1024 * 1024;
/** After which a line is written, however few there are. */
const LATEST_MS = 100;
/** After a refusal, doubled with each one that follows: a reader empties a pipe in a few milliseconds. */
const [FIRST_RETRY_MS, LAST_RETRY_MS] = [5, 100];
/** For a blocked reader, when the process ends. */
const LAST_WAIT_MS = 500;
const PAUSE_MS = 1;
const NEWLINE = 0x0a;

const isFull = ({ code }: NodeJS.ErrnoException): boolean => code === "EAGAIN" || code === "EBUSY";
const pause = (ms: number): unknown => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

/**
 * Lines into a file or pipe, written without waiting for the reader. A write costs more than all that a request is
 * asked otherwise: lines go by pages.
 */
export class LineWriter {
  readonly #opened: () => Outlet;
  readonly #dropped: () => void;
  #outlet: Outlet | undefined;
  /** The oldest first, and of it what is not written yet. */
  readonly #pages: Buffer[] = [];
  /** The page that is not full. */
  #open = "";
  #openBytes = 0;
  #waitingBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  /** A page was given to a thread, which has not answered yet. */
  #isOnItsWay = false;
  #retryMs = FIRST_RETRY_MS;
  #isRefused = false;
  #isClosed = false;

  /**
   * @param opened   Called for the first line.
   * @param dropped  Told of every line that was lost because nobody reads.
   */
  constructor(opened: () => Outlet, dropped: () => void) {
    this.#opened = opened;
    this.#dropped = dropped;
  }

  /** @param line  With the newline that ends it. */
  write(line: string): void {
    const bytes = Buffer.byteLength(line);
    if (this.#isClosed || this.#waitingBytes + bytes > MAX_BACKLOG) return this.#dropped();
    const { page } = (this.#outlet ??= this.#begin());
    if (this.#openBytes > 0 && this.#openBytes + bytes > page) this.#turnPage();
    this.#waitingBytes += bytes;
    this.#openBytes += bytes;
    this.#open += line;
    if (this.#pages.length > 0 && !this.#isRefused && !this.#isOnItsWay) this.#writePages();
    this.#timer ??= setTimeout(() => this.#writeAll(), LATEST_MS).unref();
  }

  #begin(): Outlet {
    const outlet = this.#opened();
    process.once("exit", () => this.#end());
    return outlet;
  }

  #turnPage(): void {
    this.#pages.push(Buffer.from(this.#open));
    this.#open = "";
    this.#openBytes = 0;
  }

  #writeAll(): void {
    this.#timer = undefined;
    this.#isRefused = false;
    if (this.#openBytes > 0) this.#turnPage();
    if (!this.#isOnItsWay) this.#writePages();
  }

  #writePages(): void {
    if (this.#outlet?.joins === true && this.#pages.length > 1)
      this.#pages.splice(0, Infinity, Buffer.concat(this.#pages));
    for (let [page] = this.#pages; page !== undefined; [page] = this.#pages) {
      const outcome = this.#outlet?.take(page, (later) => {
        this.#isOnItsWay = false;
        if (this.#isTaken(later)) this.#writePages();
      });
      this.#isOnItsWay = outcome === undefined;
      if (outcome === undefined) return;
      if (!this.#isTaken(outcome)) return;
    }
  }

  /** @returns Whether more can be written now. */
  #isTaken(outcome: Outcome): boolean {
    if (typeof outcome !== "number") {
      this.#refused(outcome);
      return false;
    }
    this.#retryMs = FIRST_RETRY_MS;
    this.#waitingBytes -= outcome;
    const rest = this.#pages[0]?.subarray(outcome);
    if (rest === undefined || rest.length === 0) this.#pages.shift();
    else this.#pages[0] = rest;
    return true;
  }

  #refused(error: NodeJS.ErrnoException): void {
    if (error.code === "EPIPE") return this.#close();
    this.#isRefused = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#writeAll(), this.#retryMs);
    // A reader who is slow is waited for, as long as the process is: a disk that is full is not.
    if (!isFull(error)) this.#timer.unref();
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
  }

  /** Nobody will ever read. */
  #close(): void {
    this.#isClosed = true;
    this.#turnPage();
    for (const page of this.#pages) for (const byte of page) if (byte === NEWLINE) this.#dropped();
    this.#pages.length = 0;
  }

  /** A disk that is full, or a reader who has stopped, costs lines and not the process. */
  #end(): void {
    // Of what is on its way nobody will hear how much was taken: what comes after it could stand within a line.
    if (this.#isClosed || (this.#isOnItsWay && this.#outlet?.isWhole !== true)) return;
    this.#turnPage();
    const limit = performance.now() + LAST_WAIT_MS;
    for (const page of this.#pages.slice(this.#isOnItsWay ? 1 : 0)) if (!this.#isWrittenBy(limit, page)) return;
  }

  #isWrittenBy(limit: number, page: Buffer): boolean {
    for (let rest = page; rest.length > 0;) {
      const outcome = this.#outlet?.takeNow(rest) ?? 0;
      if (typeof outcome === "number") rest = rest.subarray(outcome);
      else if (isFull(outcome) && performance.now() < limit) pause(PAUSE_MS);
      else return false;
    }
    return true;
  }
}
