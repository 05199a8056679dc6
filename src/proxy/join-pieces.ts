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
    const whole = this.#only ?? this.#joined?.subarray(0, this.length);
    this.#only = this.#joined = undefined;
    this.length = 0;
    return whole;
  }
}

/**
 * Joins small pieces of a stream: those that come in one turn of the event loop, and those that its reader has not come
 * to yet. A stream counts the bytes that wait, so that a sender of single bytes would make it hold hundreds of times as
 * many, and would keep everybody else waiting while each of them is sent on.
 */
export function joinPieces(stream: Readable): void {
  const push = stream.push.bind(stream);
  const read = stream.read.bind(stream);
  const block = new Block();
  let turn: NodeJS.Immediate | undefined;
  const flush = (): void => {
    const joined = block.take();
    if (joined !== undefined && !stream.destroyed) push(joined);
  };
  const turned = (): void => {
    turn = undefined;
    if (stream.readableLength === 0) flush();
  };
  stream.push = (piece: Buffer | null): boolean => {
    const isSmall = piece !== null && piece.length < SMALL;
    if (!isSmall || !block.hasRoomFor(piece)) flush();
    if (!isSmall) return push(piece);
    block.add(piece);
    turn ??= setImmediate(turned);
    return stream.readableLength + block.length < stream.readableHighWaterMark;
  };
  // Whoever reads what came before is given the rest next.
  stream.read = (size?: number): unknown => {
    const piece: unknown = read(size);
    if (size !== 0) flush();
    return piece;
  };
}
