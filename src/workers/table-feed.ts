import type { TableDiff } from "../routing/routing-table.ts";
import { partsOfDiff } from "./wire.ts";

/**
 * Keeps the table of one worker up to date: one change at a time is on its way, and what comes meanwhile is put together
 * into the next one, so that a slow worker costs no more memory than the table.
 */
export class TableFeed {
  readonly #send: (bytes: Uint8Array, version: number | undefined) => void;
  #waiting: TableDiff | undefined;
  #newest = 0;
  #isSending = false;
  #served = 0;

  /** @param send  Takes the parts of a change; the last one has the version. */
  constructor(send: (bytes: Uint8Array, version: number | undefined) => void) {
    this.#send = send;
  }

  /** The newest version that the worker says it serves; 0 is none. */
  get served(): number {
    return this.#served;
  }

  /** @param version  What the table has with this diff; each is higher than the one before. */
  offer(diff: TableDiff, version: number): void {
    this.#waiting = this.#waiting === undefined ? diff : joined(this.#waiting, diff);
    this.#newest = version;
    if (!this.#isSending) this.#sendWaiting();
  }

  acknowledged(version: number): void {
    this.#served = version;
    this.#isSending = false;
    this.#sendWaiting();
  }

  #sendWaiting(): void {
    if (this.#waiting === undefined) return;
    const parts = partsOfDiff(this.#waiting);
    this.#waiting = undefined;
    this.#isSending = true;
    parts.forEach((bytes, at) => this.#send(bytes, at === parts.length - 1 ? this.#newest : undefined));
  }
}

const joined = (older: TableDiff, newer: TableDiff): TableDiff => ({
  listeners: new Map([...older.listeners, ...newer.listeners]),
  routes: new Map([...older.routes, ...newer.routes]),
  endpoints: new Map([...older.endpoints, ...newer.endpoints]),
});
