import type { Readable } from "node:stream";

const REPLAY_LIMIT = 64 * 1024;

export class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
}

/**
 * A request body that can be sent more than once while it is small: it streams to the first reader as it comes, and
 * what went by is kept up to 64 KiB for a retry or a mirror.
 */
export class RequestBody {
  readonly #source: AsyncIterator<Buffer>;
  readonly #limit: number;
  readonly #kept: Buffer[] = [];
  #size = 0;
  #ended = false;
  #overflowed = false;
  #pull: Promise<IteratorResult<Buffer>> | undefined;
  readonly #progress: (size: number) => void;

  /**
   * @param limit     Bytes; 0 is no limit. One byte more makes readers throw {@link BodyTooLarge}.
   * @param progress  Told of the size of every chunk.
   */
  constructor(source: Readable, limit: number, progress: (size: number) => void) {
    this.#source = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    this.#limit = limit;
    this.#progress = progress;
  }

  /** Whether a new reader can still be given everything from the start. */
  get replayable(): boolean {
    return !this.#overflowed;
  }

  /** The whole body, once it has ended; undefined while it has not, or when it was too large to keep. */
  get whole(): Buffer | undefined {
    return this.#ended && !this.#overflowed ? Buffer.concat(this.#kept) : undefined;
  }

  /** Everything from the start; only one reader at a time may be ahead of what is kept. */
  async *read(): AsyncGenerator<Buffer> {
    for (let i = 0; ; i++) {
      const kept = this.#overflowed ? undefined : this.#kept[i];
      if (kept !== undefined) {
        yield kept;
        continue;
      }
      const next = await this.#next();
      if (next.done === true) return;
      yield next.value;
    }
  }

  /** Reads what is left without keeping it, so that the connection can be used again. Never throws. */
  async discard(): Promise<void> {
    this.#overflowed = true;
    this.#kept.length = 0;
    try {
      for (;;) {
        const next = this.#pull ?? this.#source.next();
        this.#pull = undefined;
        if ((await next).done === true) return;
      }
    } catch {
      // The client went away: there is nothing left to read.
    }
  }

  /** Readers that were given up leave their pull behind: the next reader takes its chunk over. */
  async #next(): Promise<IteratorResult<Buffer>> {
    this.#pull ??= this.#source.next();
    const pulled = this.#pull;
    const result = await pulled;
    if (this.#pull === pulled) {
      this.#pull = undefined;
      this.#keep(result);
    }
    return result;
  }

  #keep(result: IteratorResult<Buffer>): void {
    this.#progress(result.done === true ? 0 : result.value.length);
    if (result.done === true) {
      this.#ended = true;
      return;
    }
    this.#size += result.value.length;
    if (this.#limit > 0 && this.#size > this.#limit) throw new BodyTooLarge();
    if (this.#size > REPLAY_LIMIT) {
      this.#overflowed = true;
      this.#kept.length = 0;
    } else this.#kept.push(result.value);
  }
}
