import type { Duplex } from "node:stream";

/** More than a client can want to say before it knows whether its protocol is accepted. */
const MOST_EARLY = 64 * 1024;
const MOST_EARLY_PIECES = 1000;

/**
 * A connection that Node has let go of for another protocol. It is read from the start, since the end of one that is not
 * read goes unnoticed; what comes early is kept for whoever takes it over.
 */
export class Unbound {
  readonly #socket: Duplex;
  readonly #early: Buffer[];
  #size = 0;
  readonly #keep = (chunk: Buffer): void => {
    this.#size += chunk.length;
    this.#early.push(chunk);
    if (this.#size > MOST_EARLY || this.#early.length > MOST_EARLY_PIECES) this.#socket.destroy();
  };

  readonly #ended: () => void;

  /** @param ended  Called when the client has closed its side before it was taken over. */
  constructor(socket: Duplex, head: Buffer, ended: () => void) {
    this.#socket = socket;
    this.#early = [head];
    this.#ended = ended;
    socket.on("data", this.#keep).once("end", this.#ended);
  }

  take(): Duplex {
    const early = Buffer.concat(this.#early);
    this.drop();
    this.#socket.pause();
    if (early.length > 0) this.#socket.unshift(early);
    return this.#socket;
  }

  /** Nobody wants what came. */
  drop(): void {
    this.#early.length = 0;
    this.#socket.off("data", this.#keep).off("end", this.#ended);
  }
}
