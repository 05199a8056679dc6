import type { RouteKey, RouteTable } from "../../routing/routing-table.ts";
import { compareText } from "../../routing/precedence.ts";
import type { ProxyOptions } from "../options.ts";
import { wildcardConfig, wildcardFilter } from "../resources/host-scripts.ts";
import { type ResourceId, idOf } from "../resources/resource.ts";
import { routeConfiguration } from "../resources/route-configuration.ts";
import { bucketOf, scopeOf } from "../resources/scope.ts";
import type { Changes } from "./changes.ts";

/** What a table says of one hostname. */
export interface TableHost {
  /** A virtual host, encoded. */
  readonly bytes: Uint8Array;
  readonly uses: readonly ResourceId[];
  readonly routes: ReadonlySet<RouteKey>;
}

/** From so many hostnames on a table is cut up: proxies build all of a route configuration anew when one of its hosts changes. */
export const SCOPED_FROM = 1000;
/** It is put together again below that, so that one more or less does not switch to and fro. */
const WHOLE_BELOW = 500;

const isWildcard = (hostname: string): boolean => hostname.startsWith("*");

/** The hostnames of a listener, or of several on one port, as the route configurations that proxies are given. */
export class TableBook {
  readonly #name: string;
  readonly #changes: Changes;
  readonly #options: ProxyOptions;
  readonly #hosts = new Map<string, TableHost>();
  readonly #dirty = new Set<string>();
  /** By route configuration. */
  readonly #members = new Map<string, Set<string>>();
  #wildcards = "";
  #isScoped = false;

  constructor(name: string, changes: Changes, options: ProxyOptions) {
    this.#name = name;
    this.#changes = changes;
    this.#options = options;
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
    return idOf("RouteConfiguration", this.#configurationOf(hostname));
  }

  /** Makes what has been put. @returns Whether its listener has to look routes up in another way from now on. */
  make(routes: ReadonlyMap<RouteKey, RouteTable>): boolean {
    const wasScoped = this.#isScoped;
    this.#isScoped = this.#hosts.size >= (wasScoped ? WHOLE_BELOW : SCOPED_FROM);
    const switches = wasScoped !== this.#isScoped;
    if (switches) this.#switch(wasScoped);
    const configurations = new Set<string>(this.#isScoped ? [] : [this.#name]);
    for (const hostname of this.#dirty) {
      if (this.#isScoped) this.#scope(hostname);
      configurations.add(this.#place(hostname));
    }
    this.#dirty.clear();
    for (const name of configurations) this.#configure(name, routes);
    if (this.#isScoped) this.#listWildcards();
    return switches;
  }

  /** Withdraws everything. */
  drop(): void {
    for (const hostname of this.#hosts.keys())
      this.#changes.drop(idOf("ScopedRouteConfiguration", this.#scopeName(hostname)));
    for (const name of this.#members.keys()) this.#changes.drop(idOf("RouteConfiguration", name));
    this.#changes.drop(idOf("RouteConfiguration", this.#name));
    this.#changes.drop(idOf("ExtensionConfig", wildcardFilter(this.#name)));
  }

  #configurationOf(hostname: string): string {
    return this.#isScoped ? bucketOf(this.#name, hostname) : this.#name;
  }

  #scopeName(hostname: string): string {
    return `${this.#name}/${hostname}`;
  }

  /** Everything stands in other resources now; the old ones are gone with the same change. */
  #switch(wasScoped: boolean): void {
    this.drop();
    this.#members.clear();
    this.#wildcards = "";
    if (wasScoped)
      for (const hostname of this.#dirty)
        this.#changes.drop(idOf("ScopedRouteConfiguration", this.#scopeName(hostname)));
    for (const hostname of this.#hosts.keys()) this.#dirty.add(hostname);
  }

  #scope(hostname: string): void {
    if (this.#hosts.has(hostname)) this.#changes.set(scopeOf(this.#name, hostname));
    else this.#changes.drop(idOf("ScopedRouteConfiguration", this.#scopeName(hostname)));
  }

  #place(hostname: string): string {
    const name = this.#configurationOf(hostname);
    let members = this.#members.get(name);
    if (members === undefined) this.#members.set(name, (members = new Set<string>()));
    if (this.#hosts.has(hostname)) members.add(hostname);
    else members.delete(hostname);
    return name;
  }

  #configure(name: string, routes: ReadonlyMap<RouteKey, RouteTable>): void {
    const members = [...(this.#members.get(name) ?? [])].sort(compareText);
    if (members.length === 0 && this.#isScoped) {
      this.#members.delete(name);
      return this.#changes.drop(idOf("RouteConfiguration", name));
    }
    const hosts = members.flatMap((hostname) => this.#hosts.get(hostname) ?? []);
    const keys = new Set(hosts.flatMap((host) => [...host.routes]));
    const known = [...keys].flatMap((key): [RouteKey, RouteTable][] => {
      const route = routes.get(key);
      return route === undefined ? [] : [[key, route]];
    });
    const made = routeConfiguration({
      name,
      hosts: hosts.map(({ bytes }) => bytes),
      uses: [...new Set(hosts.flatMap(({ uses }) => uses))],
      scopedIn: this.#isScoped ? this.#name : undefined,
      options: this.#options,
    });
    this.#changes.set({ ...made, routes: new Map(known) });
  }

  #listWildcards(): void {
    const wildcards = [...this.#hosts.keys()].filter(isWildcard).sort(compareText);
    const text = wildcards.join(" ");
    if (text === this.#wildcards && text !== "") return;
    this.#wildcards = text;
    this.#changes.set(wildcardConfig(this.#name, wildcards));
  }
}
