import { ANY_HOST } from "../../routing/hostname.ts";
import type { Listener, ListenerId } from "../../routing/listener.ts";
import type { RouteKey, RouteTable } from "../../routing/routing-table.ts";
import type { ProxyOptions } from "../options.ts";
import type { HostCell } from "../resources/host-cell.ts";
import { tableOf } from "../resources/listener.ts";
import type { ResourceId } from "../resources/resource.ts";
import { tableContent } from "../resources/table-content.ts";
import { virtualHost } from "../resources/virtual-host.ts";
import type { Changes } from "./changes.ts";
import { TableBook } from "./table-book.ts";
import type { TableHost } from "./table-layouts.ts";

interface Table {
  readonly book: TableBook;
  /** Whose hosts are served in it. */
  own: readonly Listener[];
}

interface Parts {
  readonly changes: Changes;
  readonly options: ProxyOptions;
  /** So many hostnames are cut up. */
  readonly scopedFrom: number;
  readonly cell: (listener: ListenerId, hostname: string) => HostCell | undefined;
  readonly hostnames: (listener: ListenerId) => Iterable<string>;
}

const NO_ROUTES: ReadonlySet<RouteKey> = new Set();

/** The routes of the listeners that share a socket: one table, or one for each with HTTPS. */
export class SocketTables {
  readonly #parts: Parts;
  readonly #tables = new Map<string, Table>();
  #all: readonly Listener[] = [];

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  isScoped(table: string): boolean {
    return this.#tables.get(table)?.book.isScoped === true;
  }

  /** What leads to the routes of a hostname of a listener, and has them. */
  idsFor(listener: Listener, hostname: string): readonly ResourceId[] {
    return this.#tables.get(tableOf(listener, this.#all.length > 1))?.book.idsFor(hostname) ?? [];
  }

  /** These share the socket now. Whatever stands in a table may stand elsewhere. */
  listeners(all: readonly Listener[]): void {
    this.#all = all;
    const shared = all.length > 1;
    const wanted = new Map<string, Listener[]>();
    for (const one of all) wanted.set(tableOf(one, shared), [...(wanted.get(tableOf(one, shared)) ?? []), one]);
    for (const [name, { book }] of this.#tables) {
      if (wanted.has(name)) continue;
      book.drop();
      this.#tables.delete(name);
    }
    for (const [name, own] of wanted) {
      const table = this.#tables.get(name) ?? {
        book: new TableBook(name, this.#parts.changes, this.#parts.options, this.#parts.scopedFrom),
        own,
      };
      table.own = own;
      this.#tables.set(name, table);
      const known = all.flatMap((one) => [one.hostname, ...this.#parts.hostnames(one.id)]);
      for (const hostname of new Set([ANY_HOST, ...known, ...table.book.hostnames])) this.#fill(table, hostname);
    }
  }

  /** The routes of a hostname are others. */
  host(hostname: string): void {
    for (const table of this.#tables.values()) this.#fill(table, hostname);
  }

  /** @returns Whether some listener has to look routes up in another way from now on. */
  make(routes: ReadonlyMap<RouteKey, RouteTable>): boolean {
    return [...this.#tables.values()].map(({ book }) => book.make(routes)).includes(true);
  }

  /** No connection is left that goes by a former layout. */
  retire(): void {
    for (const { book } of this.#tables.values()) book.retire();
  }

  #fill({ book, own }: Table, hostname: string): void {
    const { cell, options } = this.#parts;
    const content = tableContent(hostname, own, this.#all, ({ id }) => cell(id, hostname) !== undefined);
    book.put(hostname, content === undefined ? undefined : this.#hostOf(hostname, content, options));
  }

  #hostOf(
    hostname: string,
    content: NonNullable<ReturnType<typeof tableContent>>,
    options: ProxyOptions,
  ): TableHost | undefined {
    if (content.kind === "listener") return this.#parts.cell(content.listener.id, hostname);
    return { bytes: virtualHost(hostname, [], content.reason, options), uses: [], routes: NO_ROUTES };
  }
}
