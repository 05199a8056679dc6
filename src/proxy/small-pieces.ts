import type { Writable } from "node:stream";

/** Of pieces below it the place that they take beside their bytes is what counts. */
const SMALL = 512;
const MOST_WAITING = 256;

/**
 * Writes to a client. A stream counts the bytes that wait for their reader, and a backend that sends them one by one
 * would make hundreds of times as much of them in memory.
 */
export class SmallPieces {
  readonly #stream: Writable;
  #waiting = 0;
  #isFull = false;

  constructor(stream: Writable) {
    this.#stream = stream;
  }

  /** @returns Whether the client keeps up; if not, the stream tells of `drain` when it has caught up. */
  write(chunk: Buffer): boolean {
    if (chunk.length >= SMALL) return this.#stream.write(chunk) && !this.#isFull;
    this.#isFull ||= ++this.#waiting >= MOST_WAITING;
    return this.#stream.write(chunk, () => this.#written()) && !this.#isFull;
  }

  #written(): void {
    if (--this.#waiting > 0 || !this.#isFull) return;
    this.#isFull = false;
    // The stream itself may have had room all the time; once too often does no harm.
    this.#stream.emit("drain");
  }
}
