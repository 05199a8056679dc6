import { write, writeSync } from "node:fs";

/** What a pipe takes in one piece: several processes write to one, and no line up to here gets into those of another. */
export const LONGEST_WRITE = 4096;
/** Bytes that wait for a blocked reader before lines are dropped, so that a full pipe never blocks traffic (F54). */
const MAX_BACKLOG = 4 * 1024 * 1024;
/** After which a line is written, however few there are. */
const LATEST_MS = 100;
const RETRY_MS = 100;
/** For a blocked reader, when the process ends. */
const LAST_WAIT_MS = 500;
const LAST_RETRY_MS = 10;

interface Page {
  text: string;
  bytes: number;
}

const NEWLINE = 0x0a;
const isFull = ({ code }: NodeJS.ErrnoException): boolean => code === "EAGAIN" || code === "EBUSY";
const pause = (ms: number): unknown => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

/**
 * Lines into a file or pipe, written without waiting for the reader. A write costs more than all that a request is
 * asked otherwise: lines go by pages.
 */
export class LineWriter {
  readonly #fd: number;
  readonly #dropped: () => void;
  /** The oldest first. */
  readonly #pages: Page[] = [];
  #waitingBytes = 0;
  /** Of the oldest page, what is not written yet: none before its turn. */
  #rest: Buffer | undefined;
  /** When it was given to the system, which has not answered yet. */
  #sentAt: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  #endsInTime = false;

  /** @param dropped  Told of every line that was lost because nobody reads. */
  constructor(fd: number, dropped: () => void) {
    this.#fd = fd;
    this.#dropped = dropped;
  }

  /** @param line  With the newline that ends it. */
  write(line: string): void {
    const bytes = Buffer.byteLength(line);
    if (this.#isClosed || this.#waitingBytes + bytes > MAX_BACKLOG) return this.#dropped();
    this.#endWithProcess();
    this.#waitingBytes += bytes;
    const last = this.#pages.at(-1);
    const isBegun = this.#rest !== undefined && this.#pages.length === 1;
    if (last === undefined || isBegun || last.bytes + bytes > LONGEST_WRITE) this.#pages.push({ text: line, bytes });
    else {
      last.text += line;
      last.bytes += bytes;
    }
    if (this.#rest === undefined) this.#goOn();
  }

  /** A page that is not full waits for more. */
  #goOn(): void {
    if (this.#pages.length > 1) this.#writeFirst();
    else if (this.#pages.length === 1) this.#timer ??= setTimeout(() => this.#writeFirst(), LATEST_MS).unref();
  }

  #writeFirst(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#rest ??= Buffer.from(this.#pages[0]?.text ?? "");
    this.#sentAt = performance.now();
    write(this.#fd, this.#rest, (error, count) => {
      this.#sentAt = undefined;
      if (error === null) this.#written(count);
      else this.#failed(error);
    });
  }

  #written(count: number): void {
    this.#waitingBytes -= count;
    const rest = this.#rest?.subarray(count);
    if (rest !== undefined && rest.length > 0) {
      this.#rest = rest;
      return this.#writeFirst();
    }
    this.#rest = undefined;
    this.#pages.shift();
    this.#goOn();
  }

  #failed(error: NodeJS.ErrnoException): void {
    if (error.code === "EPIPE") return this.#close();
    this.#timer = setTimeout(() => this.#writeFirst(), RETRY_MS);
  }

  /** Nobody will ever read. */
  #close(): void {
    this.#isClosed = true;
    for (const page of this.#unsent()) for (const byte of page) if (byte === NEWLINE) this.#dropped();
    this.#pages.length = 0;
  }

  #unsent(): readonly Buffer[] {
    const [first, ...later] = this.#pages.map(({ text }) => Buffer.from(text));
    const rest = this.#sentAt === undefined ? (this.#rest ?? first) : undefined;
    return rest === undefined ? later : [rest, ...later];
  }

  #endWithProcess(): void {
    if (this.#endsInTime) return;
    this.#endsInTime = true;
    process.once("exit", () => this.#end());
  }

  /** A disk that is full, or a reader who has stopped, costs lines and not the process. */
  #end(): void {
    const now = performance.now();
    if (this.#isClosed || (this.#sentAt ?? now) < now - LAST_WAIT_MS) return;
    try {
      for (const page of this.#unsent()) this.#writeNow(page, now + LAST_WAIT_MS);
    } catch {
      // Nobody is left to be told.
    }
  }

  #writeNow(page: Buffer, until: number): void {
    for (let rest = page; rest.length > 0;) {
      try {
        rest = rest.subarray(writeSync(this.#fd, rest));
      } catch (error) {
        if (!isFull(error as NodeJS.ErrnoException) || performance.now() > until) throw error;
        pause(LAST_RETRY_MS);
      }
    }
  }
}
