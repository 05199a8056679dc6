import type { ProxyOptions } from "../options.ts";
import type { ResourceId } from "../resources/resource.ts";
import type { Changes } from "./changes.ts";
import { type Layout, type Routes, ScopedLayout, type TableHost, WholeLayout } from "./table-layouts.ts";

/** From so many hostnames on a table is cut up. */
export const SCOPED_FROM = 100;
/** It is put together again below that part of it, so that one more or less does not switch to and fro. */
const WHOLE_BELOW = 0.5;

/**
 * The hostnames of a listener, or of several on one port, as the route configurations that proxies are given. When the
 * layout changes, connections that are open go on with the old one for a while, so that both are kept up to date.
 */
export class TableBook {
  readonly #make: (isScoped: boolean) => Layout;
  readonly #hosts = new Map<string, TableHost>();
  readonly #dirty = new Set<string>();
  readonly #scopedFrom: number;
  #isScoped = false;
  /** Whether proxies may know the current layout. */
  #isMade = false;
  #current: Layout;
  #former: Layout | undefined;

  /** @param scopedFrom  So many hostnames are cut up. */
  constructor(table: string, changes: Changes, options: ProxyOptions, scopedFrom: number) {
    this.#scopedFrom = scopedFrom;
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

  /** What leads to a hostname's routes, and has them. */
  idsFor(hostname: string): readonly ResourceId[] {
    return this.#current.idsFor(hostname);
  }

  /** Makes what has been put. @returns Whether its listener has to look routes up in another way from now on. */
  make(routes: Routes): boolean {
    const isScoped = this.#hosts.size >= this.#scopedFrom * (this.#isScoped ? WHOLE_BELOW : 1);
    const switches = isScoped !== this.#isScoped;
    this.#former?.make(this.#dirty, this.#hosts, routes);
    if (switches) this.#switch(isScoped, routes);
    else this.#current.make(this.#dirty, this.#hosts, routes);
    this.#isMade = true;
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

  #switch(isScoped: boolean, routes: Routes): void {
    const back = this.#former;
    if (this.#isMade) this.#current.make(this.#dirty, this.#hosts, routes);
    this.#former = this.#isMade ? this.#current : undefined;
    this.#isScoped = isScoped;
    this.#current = back ?? this.#make(isScoped);
    if (back === undefined) this.#current.make(this.#hosts.keys(), this.#hosts, routes);
  }
}
