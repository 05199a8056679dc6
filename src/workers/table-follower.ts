import { type RoutingTable, type TableDiff, emptyDiff } from "../routing/routing-table.ts";
import { readPart } from "./wire.ts";

interface Part {
  readonly bytes: Uint8Array;
  readonly version: number | undefined;
}

/** Puts together the table of a worker from the parts that come; each change is applied in one step, when all of it is there. */
export class TableFollower {
  readonly #table: RoutingTable;
  readonly #applied: (diff: TableDiff, version: number) => void;
  readonly #later: (read: () => void) => void;
  readonly #waiting: Part[] = [];
  #parts = emptyDiff();

  /**
   * @param applied  Told of each change that the table has by now.
   * @param later    Calls back when requests have had their turn: many parts come at once.
   */
  constructor(
    table: RoutingTable,
    applied: (diff: TableDiff, version: number) => void,
    later: (read: () => void) => void = setImmediate,
  ) {
    this.#table = table;
    this.#applied = applied;
    this.#later = later;
  }

  /** @param version  Given with the last part of a change. */
  read(bytes: Uint8Array, version: number | undefined): void {
    if (this.#waiting.push({ bytes, version }) === 1) this.#later(() => this.#readNext());
  }

  #readNext(): void {
    const [part] = this.#waiting;
    if (part === undefined) return;
    readPart(part.bytes, this.#parts);
    if (part.version !== undefined) this.#apply(part.version);
    this.#waiting.shift();
    if (this.#waiting.length > 0) this.#later(() => this.#readNext());
  }

  #apply(version: number): void {
    const diff = this.#parts;
    this.#parts = emptyDiff();
    this.#table.apply(diff);
    this.#applied(diff, version);
  }
}
