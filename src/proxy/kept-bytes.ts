/** More pieces than these are made one: each takes some hundred bytes of memory beside its own. */
const MOST_PIECES = 256;

interface Piece {
  /** Of its first byte, counted from the start of all. */
  readonly at: number;
  readonly bytes: Buffer;
}

/** A part of a row of bytes: what has come last, and is still wanted. Counts are bytes from the start of the row. */
export class KeptBytes {
  #pieces: Piece[] = [];
  #start = 0;
  #end = 0;

  /** Of the first byte that is kept. */
  get start(): number {
    return this.#start;
  }

  /** Behind the last byte that has come. */
  get end(): number {
    return this.#end;
  }

  push(bytes: Buffer): void {
    if (this.#pieces.length >= MOST_PIECES) this.#pieces = [{ at: this.#start, bytes: this.all() }];
    this.#pieces.push({ at: this.#end, bytes });
    this.#end += bytes.length;
  }

  /** Bytes from there on, as many as are at hand in one piece; undefined: none has come. */
  from(at: number): Buffer | undefined {
    if (at >= this.#end) return undefined;
    const piece = this.#pieces.findLast((one) => one.at <= at);
    return piece?.bytes.subarray(at - piece.at);
  }

  /** @param at  Up to there no bytes are wanted any more. Pieces go as a whole. */
  dropBefore(at: number): void {
    this.#pieces = this.#pieces.filter((one) => one.at + one.bytes.length > at);
    this.#start = this.#pieces[0]?.at ?? this.#end;
  }

  all(): Buffer {
    return Buffer.concat(this.#pieces.map(({ bytes }) => bytes));
  }
}
