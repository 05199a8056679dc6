import { type RoutingTable, type TableDiff, emptyDiff } from "../routing/routing-table.ts";
import { readPart } from "./wire.ts";

/** Puts together the table of a worker from the parts that come; each change is applied in one step, when all of it is there. */
export class TableFollower {
  readonly #table: RoutingTable;
  readonly #applied: (diff: TableDiff, version: number) => void;
  #parts = emptyDiff();

  /** @param applied  Told of each change that the table has by now. */
  constructor(table: RoutingTable, applied: (diff: TableDiff, version: number) => void) {
    this.#table = table;
    this.#applied = applied;
  }

  /** @param version  Given with the last part of a change. */
  read(bytes: Uint8Array, version: number | undefined): void {
    readPart(bytes, this.#parts);
    if (version === undefined) return;
    const diff = this.#parts;
    this.#parts = emptyDiff();
    this.#table.apply(diff);
    this.#applied(diff, version);
  }
}
