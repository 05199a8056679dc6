import type { Readable } from "node:stream";

/** Pieces below it are joined: each takes some hundred bytes of memory, and a write of its own, beside its bytes. */
const SMALL = 512;
const BLOCK = 4096;

/** Small pieces of a row of bytes as one. */
class Block {
  /** The first one, as long as there is no other. */
  #only: Buffer | undefined;
  #joined: Buffer | undefined;
  length = 0;

  hasRoomFor(piece: Buffer): boolean {
    return this.length + piece.length <= BLOCK;
  }

  add(piece: Buffer): void {
    if (this.length === 0) this.#only = piece;
    else {
      this.#joined ??= Buffer.allocUnsafeSlow(BLOCK);
      if (this.#only !== undefined) this.#only.copy(this.#joined);
      this.#only = undefined;
      piece.copy(this.#joined, this.length);
    }
    this.length += piece.length;
  }

  take(): Buffer | undefined {
    const whole = this.#only ?? this.#whole();
    this.#only = this.#joined = undefined;
    this.length = 0;
    return whole;
  }

  /** A part of a block keeps all of it, for as long as somebody reads or repeats it. */
  #whole(): Buffer | undefined {
    const part = this.#joined?.subarray(0, this.length);
    if (part === undefined || part.length > BLOCK / 2) return part;
    const own = Buffer.allocUnsafeSlow(part.length);
    part.copy(own);
    return own;
  }
}

let turn = 0;
let isCounted = false;

/** The same number for as long as one turn of the event loop goes on, whichever stream asks. */
function thisTurn(): number {
  if (!isCounted) {
    isCounted = true;
    setImmediate(() => {
      isCounted = false;
      turn++;
    });
  }
  return turn;
}

class JoinedPieces {
  readonly #stream: Readable;
  readonly #push: Readable["push"];
  #passedOn: number | undefined;
  #block: Block | undefined;
  #turned: NodeJS.Immediate | undefined;

  constructor(stream: Readable) {
    this.#stream = stream;
    this.#push = stream.push.bind(stream);
  }

  push(piece: Buffer | null): boolean {
    const isSmall = piece !== null && piece.length < SMALL;
    if (isSmall && !this.#isFirst()) return this.#join(piece);
    this.#flush();
    return this.#push(piece);
  }

  /** Nothing waits, and nothing has come in this turn: most streams have no more than such pieces. */
  #isFirst(): boolean {
    if (this.#stream.readableLength > 0 || (this.#block?.length ?? 0) > 0) return false;
    const now = thisTurn();
    if (this.#passedOn === now) return false;
    this.#passedOn = now;
    return true;
  }

  #join(piece: Buffer): boolean {
    const stream = this.#stream;
    const block = (this.#block ??= this.#begin());
    if (!block.hasRoomFor(piece)) this.#flush();
    block.add(piece);
    this.#turned ??= setImmediate(() => {
      this.#turned = undefined;
      if (stream.readableLength === 0) this.#flush();
    });
    return stream.readableLength + block.length < stream.readableHighWaterMark;
  }

  /** Whoever reads what came before is given the rest next. */
  #begin(): Block {
    const read = this.#stream.read.bind(this.#stream);
    this.#stream.read = (size?: number): unknown => {
      const piece: unknown = read(size);
      if (size !== 0) this.#flush();
      return piece;
    };
    return new Block();
  }

  #flush(): void {
    const joined = this.#block?.take();
    if (joined !== undefined && !this.#stream.destroyed) this.#push(joined);
  }
}

/**
 * Joins small pieces of a stream: those that come in one turn of the event loop after the first one, and those that its
 * reader has not come to yet. A stream counts the bytes that wait, so that a sender of single bytes would make it hold
 * hundreds of times as many, and would keep everybody else waiting while each of them is sent on.
 */
export function joinPieces(stream: Readable): void {
  const joined = new JoinedPieces(stream);
  stream.push = (piece: Buffer | null) => joined.push(piece);
}
