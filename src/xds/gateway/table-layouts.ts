import type { RouteKey, RouteTable } from "../../routing/routing-table.ts";
import { compareText } from "../../routing/precedence.ts";
import type { ProxyOptions } from "../options.ts";
import { wildcardConfig, wildcardFilter } from "../resources/host-scripts.ts";
import { type ResourceId, idOf } from "../resources/resource.ts";
import { routeConfiguration } from "../resources/route-configuration.ts";
import { bucketOf, scopeName, scopeOf } from "../resources/scope.ts";
import type { Changes } from "./changes.ts";

/** What a table says of one hostname. */
export interface TableHost {
  /** A virtual host, encoded. */
  readonly bytes: Uint8Array;
  readonly uses: readonly ResourceId[];
  readonly routes: ReadonlySet<RouteKey>;
}

export type Hosts = ReadonlyMap<string, TableHost>;
export type Routes = ReadonlyMap<RouteKey, RouteTable>;

/** A way to give proxies a table. */
export interface Layout {
  /** What leads to a hostname's routes, and has them. */
  idsFor(hostname: string): readonly ResourceId[];
  /** What is said of these hostnames is different, or of all that there are. */
  make(changed: Iterable<string>, hosts: Hosts, routes: Routes): void;
  /** Withdraws everything. */
  drop(): void;
}

interface Parts {
  readonly table: string;
  readonly changes: Changes;
  readonly options: ProxyOptions;
}

interface Content {
  readonly hosts: Hosts;
  readonly routes: Routes;
}

/** @param members  The hostnames that stand in it. */
function configure(parts: Parts, name: string, members: Iterable<string>, content: Content, isScoped: boolean): void {
  const { table, changes, options } = parts;
  const { hosts, routes: all } = content;
  const placed = [...members].sort(compareText).flatMap((hostname) => hosts.get(hostname) ?? []);
  const keys = new Set(placed.flatMap(({ routes }) => [...routes]));
  const known = [...keys].flatMap((key): [RouteKey, RouteTable][] => {
    const route = all.get(key);
    return route === undefined ? [] : [[key, route]];
  });
  const made = routeConfiguration({
    name,
    hosts: placed.map(({ bytes }) => bytes),
    uses: [...new Set(placed.flatMap(({ uses }) => uses))],
    scopedIn: isScoped ? table : undefined,
    options,
  });
  changes.set({ ...made, routes: new Map(known) });
}

/** All hostnames in one route configuration, which a proxy builds anew with every change of one of them. */
export class WholeLayout implements Layout {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  idsFor(): readonly ResourceId[] {
    return [idOf("RouteConfiguration", this.#parts.table)];
  }

  make(_changed: Iterable<string>, hosts: Hosts, routes: Routes): void {
    configure(this.#parts, this.#parts.table, hosts.keys(), { hosts, routes }, false);
  }

  drop(): void {
    this.#parts.changes.drop(idOf("RouteConfiguration", this.#parts.table));
  }
}

const isWildcard = (hostname: string): boolean => hostname.startsWith("*");

/** Each hostname leads to one of many route configurations: what a change costs a proxy does not grow with the table. */
export class ScopedLayout implements Layout {
  readonly #parts: Parts;
  /** Hostnames by route configuration. */
  readonly #members = new Map<string, Set<string>>();
  readonly #known = new Set<string>();
  #wildcards: ReadonlySet<string> | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  idsFor(hostname: string): readonly ResourceId[] {
    const { table } = this.#parts;
    return [
      idOf("RouteConfiguration", bucketOf(table, hostname)),
      idOf("ScopedRouteConfiguration", scopeName(table, hostname)),
      ...(isWildcard(hostname) ? [idOf("ExtensionConfig", wildcardFilter(table))] : []),
    ];
  }

  make(changed: Iterable<string>, hosts: Hosts, routes: Routes): void {
    const configurations = new Set<string>();
    const wildcards = new Set(this.#wildcards);
    for (const hostname of changed) {
      configurations.add(this.#place(hostname, hosts.has(hostname)));
      if (isWildcard(hostname)) wildcards[hosts.has(hostname) ? "add" : "delete"](hostname);
    }
    for (const name of configurations) this.#configure(name, { hosts, routes });
    this.#list(wildcards);
  }

  drop(): void {
    const { table, changes } = this.#parts;
    for (const hostname of this.#known) changes.drop(idOf("ScopedRouteConfiguration", scopeName(table, hostname)));
    for (const name of this.#members.keys()) changes.drop(idOf("RouteConfiguration", name));
    changes.drop(idOf("ExtensionConfig", wildcardFilter(table)));
  }

  #place(hostname: string, isThere: boolean): string {
    const { table, changes } = this.#parts;
    const name = bucketOf(table, hostname);
    let members = this.#members.get(name);
    if (members === undefined) this.#members.set(name, (members = new Set<string>()));
    if (isThere) {
      members.add(hostname);
      this.#known.add(hostname);
      changes.set(scopeOf(table, hostname));
    } else {
      members.delete(hostname);
      this.#known.delete(hostname);
      changes.drop(idOf("ScopedRouteConfiguration", scopeName(table, hostname)));
    }
    return name;
  }

  #configure(name: string, content: Content): void {
    const members = this.#members.get(name);
    if (members !== undefined && members.size > 0) return configure(this.#parts, name, members, content, true);
    this.#members.delete(name);
    this.#parts.changes.drop(idOf("RouteConfiguration", name));
  }

  #list(wildcards: ReadonlySet<string>): void {
    const { table, changes } = this.#parts;
    const old = this.#wildcards;
    if (old?.size === wildcards.size && [...wildcards].every((one) => old.has(one))) return;
    this.#wildcards = wildcards;
    changes.set(wildcardConfig(table, [...wildcards].sort(compareText)));
  }
}
