import type { Duplex } from "node:stream";

/** Requests that may have come before the answers to those before them: whoever sends more is in no hurry for answers. */
const MOST_WAITING = 100;

interface Answer {
  on(event: "close", listener: () => void): unknown;
}

/** Of a request: nothing more may follow it, or nothing that follows is one. */
interface Request {
  takeNoMore(): void;
  malformed(): void;
}

/**
 * One connection, whose requests take turns: the next one begins when the answer before it is out, so that a client who
 * sends many at once is given one thing at a time.
 */
export class Http1Connection {
  readonly #socket: Duplex;
  readonly #waiting: { readonly answer: Answer; readonly begin: () => void }[] = [];
  #current: Answer | undefined;
  #isPaused = false;
  /** The request that came last, answered or not; none: nothing has been asked yet, which Node does not count as idle. */
  newest: Request | undefined;
  /** Nothing that comes is read any more: a parser that has failed tells so with every piece. */
  isMalformed = false;
  /** Whom Node tells of room on the socket, as long as it has it. */
  drained: readonly (() => void)[] = [];

  constructor(socket: Duplex) {
    this.#socket = socket;
    socket.on("close", () => (this.#waiting.length = 0));
  }

  /** Whether an answer is still to come. */
  get isBusy(): boolean {
    return this.#current !== undefined;
  }

  /** @param begin  Called when its turn has come. */
  take(request: Request, answer: Answer, begin: () => void): void {
    this.newest = request;
    answer.on("close", () => {
      if (this.#current === answer) this.#next();
    });
    if (this.#current === undefined) {
      this.#current = answer;
      return begin();
    }
    // Nothing more is read meanwhile, but what has come in the same piece is there already.
    this.#isPaused = true;
    this.#socket.pause();
    if (this.#waiting.push({ answer, begin }) > MOST_WAITING) this.#socket.destroy();
  }

  #next(): void {
    // After an answer that ends its connection nothing more is heard, though it may have come already.
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    const next = this.#waiting.shift();
    this.#current = next?.answer;
    next?.begin();
    if (!this.#isPaused || this.#waiting.length > 0) return;
    this.#isPaused = false;
    this.#socket.resume();
  }
}
