import type { RouteKey } from "../routing/routing-table.ts";
import type { ResourceId } from "./resources/resource.ts";

/** How routes are tried without any traffic being theirs. */
export interface Trials {
  /** Sends these routes of a resource on trial; what comes of it is said to {@link Quarantine.tried}. */
  readonly start: (of: ResourceId, routes: readonly RouteKey[]) => void;
  readonly end: () => void;
  /**
   * It is known which of the suspects are refused, and why.
   *
   * @param byThemselves  False: none is by itself, it is how all of them stand together.
   */
  readonly convicted: (routes: ReadonlyMap<RouteKey, string>, byThemselves: boolean) => void;
}

interface Case {
  readonly of: ResourceId;
  /** Why all of it was refused. */
  readonly message: string;
  readonly suspects: readonly RouteKey[];
  /** Of which one at least is refused, or of which nothing is known: tried one after the other. */
  readonly groups: (readonly RouteKey[])[];
  readonly convicted: Map<RouteKey, string>;
}

/**
 * Finds out which routes it is that proxies of a Gateway refuse: one alone is known at once, of several halves are tried,
 * apart from all traffic, until each that is refused is alone. One resource at a time; those that come meanwhile wait.
 */
export class Quarantine {
  readonly #trials: Trials;
  readonly #line: Case[] = [];
  #current: Case | undefined;
  #trying: readonly RouteKey[] = [];

  constructor(trials: Trials) {
    this.#trials = trials;
  }

  get isIdle(): boolean {
    return this.#current === undefined;
  }

  /** A resource has been refused, and these of its routes may be why. */
  refused(of: ResourceId, suspects: readonly RouteKey[], message: string): void {
    const [only] = suspects;
    if (only === undefined) return;
    if (suspects.length === 1) return this.#trials.convicted(new Map([[only, message]]), true);
    // What is on trial already is refused again with every change until the trial is over.
    if (this.#current?.of === of) return;
    const waiting = this.#line.findIndex((one) => one.of === of);
    if (waiting >= 0) this.#line.splice(waiting, 1);
    this.#line.push({ of, message, suspects, groups: [...halves(suspects)], convicted: new Map() });
    if (this.#current === undefined) this.#next();
  }

  /** @param message  Why the routes on trial were refused; undefined: they were not. */
  tried(message: string | undefined): void {
    const current = this.#current;
    if (current === undefined) return;
    const [only] = this.#trying;
    if (message !== undefined && this.#trying.length > 1) current.groups.unshift(...halves(this.#trying));
    else if (message !== undefined && only !== undefined) current.convicted.set(only, message);
    this.#next();
  }

  /** Nothing can be tried: of what is on trial all stay out. */
  fail(): void {
    if (this.#current === undefined) return;
    this.#current.groups.length = 0;
    this.#next();
  }

  /** Nobody is left who could say anything. */
  abandon(): void {
    this.#line.length = 0;
    this.#current = undefined;
    this.#trials.end();
  }

  #next(): void {
    this.#current ??= this.#line.shift();
    const current = this.#current;
    if (current === undefined) return this.#trials.end();
    const group = current.groups.shift();
    if (group !== undefined) {
      this.#trying = group;
      return this.#trials.start(current.of, group);
    }
    this.#current = undefined;
    const { convicted, suspects, message } = current;
    if (convicted.size > 0) this.#trials.convicted(convicted, true);
    else this.#trials.convicted(new Map(suspects.map((key) => [key, message])), false);
    this.#next();
  }
}

function halves(all: readonly RouteKey[]): readonly (readonly RouteKey[])[] {
  const middle = Math.ceil(all.length / 2);
  return [all.slice(0, middle), all.slice(middle)].filter((half) => half.length > 0);
}
