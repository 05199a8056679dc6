import type { Duplex } from "node:stream";

/** Connections of clients, counted over all sockets of the process. */
export class ConnectionLimit {
  #most: number;
  readonly #rejected: () => void;
  #open = 0;

  /** @param most  0 is no limit. */
  constructor(most: number, rejected: () => void) {
    this.#most = most === 0 ? Infinity : most;
    this.#rejected = rejected;
  }

  /**
   * Another limit from now on; 0 is none at all.
   *
   * @returns  What holds now: no less than what is open.
   */
  allow(most: number): number {
    this.#most = Math.max(most, this.#open);
    return this.#most;
  }

  get open(): number {
    return this.#open;
  }

  /** @returns Whether there is room for it; otherwise it is closed, at no cost but that of its being accepted. */
  admits(connection: Duplex): boolean {
    if (this.#open >= this.#most) {
      connection.destroy();
      this.#rejected();
      return false;
    }
    this.#open++;
    connection.once("close", () => this.#open--);
    return true;
  }
}
