import type { ProxyOptions } from "../options.ts";
import { type ResourceId, idOf } from "../resources/resource.ts";
import type { Changes } from "./changes.ts";
import { type Layout, type Routes, ScopedLayout, type TableHost, WholeLayout } from "./table-layouts.ts";

/** From so many hostnames on a table is cut up. */
export const SCOPED_FROM = 100;
/** It is put together again below that, so that one more or less does not switch to and fro. */
const WHOLE_BELOW = 50;

/**
 * The hostnames of a listener, or of several on one port, as the route configurations that proxies are given. When the
 * layout changes, connections that are open go on with the old one for a while, so that both are kept up to date.
 */
export class TableBook {
  readonly #make: (isScoped: boolean) => Layout;
  readonly #hosts = new Map<string, TableHost>();
  readonly #dirty = new Set<string>();
  #isScoped = false;
  #current: Layout;
  #former: Layout | undefined;

  constructor(table: string, changes: Changes, options: ProxyOptions) {
    const parts = { table, changes, options };
    this.#make = (isScoped) => (isScoped ? new ScopedLayout(parts) : new WholeLayout(parts));
    this.#current = this.#make(false);
  }

  get isScoped(): boolean {
    return this.#isScoped;
  }

  get hostnames(): Iterable<string> {
    return this.#hosts.keys();
  }

  /** @param host  undefined: the table says nothing of it. */
  put(hostname: string, host: TableHost | undefined): void {
    if (this.#hosts.get(hostname) === host) return;
    if (host === undefined) this.#hosts.delete(hostname);
    else this.#hosts.set(hostname, host);
    this.#dirty.add(hostname);
  }

  /** The route configuration that has a hostname. */
  idFor(hostname: string): ResourceId {
    return idOf("RouteConfiguration", this.#current.configurationOf(hostname));
  }

  /** Makes what has been put. @returns Whether its listener has to look routes up in another way from now on. */
  make(routes: Routes): boolean {
    const wasEmpty = this.#hosts.size === this.#dirty.size;
    const isScoped = this.#hosts.size >= (this.#isScoped ? WHOLE_BELOW : SCOPED_FROM);
    const switches = isScoped !== this.#isScoped;
    this.#former?.make(this.#dirty, this.#hosts, routes);
    if (!switches) this.#current.make(this.#dirty, this.#hosts, routes);
    else this.#switch(isScoped, wasEmpty, routes);
    this.#dirty.clear();
    return switches;
  }

  /** No connection is left that goes by the former layout. */
  retire(): void {
    this.#former?.drop();
    this.#former = undefined;
  }

  /** Withdraws everything. */
  drop(): void {
    this.retire();
    this.#current.drop();
  }

  #switch(isScoped: boolean, isFirst: boolean, routes: Routes): void {
    const back = this.#former;
    if (!isFirst) this.#current.make(this.#dirty, this.#hosts, routes);
    this.#former = isFirst ? undefined : this.#current;
    this.#isScoped = isScoped;
    this.#current = back ?? this.#make(isScoped);
    if (back === undefined) this.#current.make(this.#hosts.keys(), this.#hosts, routes);
  }
}
