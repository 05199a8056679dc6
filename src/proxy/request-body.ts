import type { Readable } from "node:stream";
import { KeptBytes } from "./kept-bytes.ts";

const REPLAY_LIMIT = 64 * 1024;

export class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
}

/**
 * A request body that can be sent more than once while it is small: it streams to the reader as it comes, and what has
 * gone by is kept for a retry or a mirror until that is more than 64 KiB.
 */
export class RequestBody {
  readonly #source: AsyncIterator<Buffer>;
  readonly #limit: number;
  readonly #progress: (size: number) => void;
  readonly #kept = new KeptBytes();
  #size = 0;
  #hasEnded = false;
  #isDiscarded = false;
  /** Why no reader gets any further. */
  #failure: Error | undefined;
  #pulling: Promise<void> | undefined;
  #reader = 0;

  /**
   * @param limit     Bytes; 0 is no limit. One byte more makes every reader throw {@link BodyTooLarge}.
   * @param progress  Told of the size of every chunk.
   */
  constructor(source: Readable, limit: number, progress: (size: number) => void) {
    this.#source = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    this.#limit = limit;
    this.#progress = progress;
  }

  /** Whether a new reader can still be given everything from the start. */
  get replayable(): boolean {
    return this.#kept.start === 0 && !this.#isDiscarded;
  }

  /** The whole body, once it has ended; undefined while it has not, or when it was too large to keep. */
  get whole(): Buffer | undefined {
    const isWhole = this.#hasEnded && this.replayable && this.#failure === undefined;
    return isWhole ? this.#kept.all() : undefined;
  }

  /** Everything from the start, for one reader at a time: the one before has been given up. */
  read(): AsyncGenerator<Buffer> {
    this.giveUp();
    return this.#read(this.#reader);
  }

  /** The reader gets nothing more; what it was still waiting for is kept for the next one. */
  giveUp(): void {
    this.#reader++;
  }

  /** Reads what is left without keeping it, so that the connection can be used again. Never throws. */
  async discard(): Promise<void> {
    this.giveUp();
    this.#isDiscarded = true;
    this.#kept.dropBefore(Infinity);
    while (!this.#hasEnded) await this.#pull();
  }

  async *#read(reader: number): AsyncGenerator<Buffer> {
    for (let at = 0; ;) {
      while (at >= this.#kept.end && !this.#hasEnded && this.#failure === undefined) await this.#pull();
      if (reader !== this.#reader) throw new Error("this reader was given up");
      if (this.#failure !== undefined) throw this.#failure;
      const chunk = this.#kept.from(at);
      if (chunk === undefined) return;
      at += chunk.length;
      // Only what somebody has taken goes: a chunk that came for a reader that was given up is the next one's.
      if (this.#size > REPLAY_LIMIT) this.#kept.dropBefore(at);
      yield chunk;
    }
  }

  /** One chunk more, for whoever waits. */
  async #pull(): Promise<void> {
    this.#pulling ??= this.#source.next().then(
      (next) => this.#take(next),
      (error: unknown) => {
        this.#hasEnded = true;
        this.#failure ??= error instanceof Error ? error : new Error(String(error));
      },
    );
    await this.#pulling;
  }

  #take(next: IteratorResult<Buffer>): void {
    this.#pulling = undefined;
    if (next.done === true) {
      this.#hasEnded = true;
      this.#progress(0);
      return;
    }
    this.#progress(next.value.length);
    this.#size += next.value.length;
    if (this.#limit > 0 && this.#size > this.#limit) this.#failure ??= new BodyTooLarge();
    else if (!this.#isDiscarded) this.#kept.push(next.value);
  }
}
