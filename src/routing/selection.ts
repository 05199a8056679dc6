import { type RequestView, isPlain, isPlainlyMet, pathMatches, unmetCondition } from "./match.ts";
import { byPrecedence, insertInOrder, type MatchEntry } from "./precedence.ts";
import type { RequestMatch, ValueMatch } from "./rule.ts";

/** Up to here a list is looked through. */
const FEW = 16;
/** So many lists are merged as far as they are asked; more are put in order at once. */
const MOST_MERGED = 8;
const MOST_SEGMENTS = 8;

/** What a match asks to be exactly this, and where a request says it. */
interface Asked {
  readonly key: string;
  readonly value: string;
  readonly said: (request: RequestView) => string | undefined;
}

function askedValues(
  what: string,
  matches: readonly ValueMatch[],
  said: (request: RequestView, name: string) => string | undefined,
): Asked[] {
  return matches.flatMap((match) =>
    match.kind === "exact"
      ? [{ key: `${what} ${match.name}`, value: match.value, said: (request) => said(request, match.name) }]
      : [],
  );
}

/** Segments that every path of a pattern begins with: the first of those that end within its literal beginning. */
function askedSegments({ path }: RequestMatch): Asked[] {
  if (path.kind !== "regex") return [];
  const whole = path.regex.prefix.split("/").slice(1, -1).slice(0, MOST_SEGMENTS);
  return whole.map((value, i) => ({
    key: `segment ${i}`,
    value,
    said: (request) => request.path.split("/", i + 2)[i + 1],
  }));
}

const askedOf = (match: RequestMatch): Asked[] => [
  ...askedValues("header", match.headers, (request, name) => request.header(name)),
  ...askedValues("cookie", match.cookies, (request, name) => request.cookie(name)),
  ...askedValues("query", match.queryParams, (request, name) => request.query(name)),
  ...askedSegments(match),
];

/** Whether `request` meets all of a match whose path, unless it is a pattern, has been looked up. */
const isMet = ({ match }: MatchEntry, request: RequestView): boolean =>
  (match.path.kind !== "regex" || pathMatches(match.path, request.path, request.patterns)) &&
  unmetCondition(match, request) === undefined;

/** @throws PatternLimit */
export function firstMet(entries: readonly MatchEntry[], request: RequestView): MatchEntry | undefined {
  for (const entry of entries) if (isMet(entry, request)) return entry;
  return undefined;
}

/** Of lists that are in order. */
function* merged(lists: readonly (readonly MatchEntry[])[]): Generator<MatchEntry> {
  const heads = lists.map((list) => ({ list, at: 0 }));
  for (;;) {
    let first: { head: (typeof heads)[number]; entry: MatchEntry } | undefined;
    for (const head of heads) {
      const entry = head.list[head.at];
      if (entry !== undefined && (first === undefined || byPrecedence(entry, first.entry) < 0)) first = { head, entry };
    }
    if (first === undefined) return;
    first.head.at++;
    yield first.entry;
  }
}

/** As one: what comes first is to be tried first, because a pattern that is tried takes of the time of those after it. */
function inOrder(lists: readonly (readonly MatchEntry[])[]): Iterable<MatchEntry> {
  const [only = []] = lists;
  if (lists.length <= 1) return only;
  return lists.length <= MOST_MERGED ? merged(lists) : lists.flat().sort(byPrecedence);
}

interface Hopeful {
  /** Those that need a pattern tried, in order. */
  readonly patterned: readonly MatchEntry[];
  /** What is met for sure: nothing after it is hopeful. */
  readonly met: MatchEntry | undefined;
}

/** To look costs nothing of the time that a host has for its patterns, and less than to compare. */
function hopefulOf(list: readonly MatchEntry[], request: RequestView): Hopeful {
  const patterned: MatchEntry[] = [];
  for (const entry of list) {
    if (!isPlainlyMet(entry.match, request)) continue;
    if (isPlain(entry.match)) return { patterned, met: entry };
    patterned.push(entry);
  }
  return { patterned, met: undefined };
}

/** @throws PatternLimit */
function firstOfAll(lists: readonly (readonly MatchEntry[])[], request: RequestView): MatchEntry | undefined {
  const [only = []] = lists;
  if (lists.length <= 1) return firstMet(only, request);
  let met: MatchEntry | undefined;
  const patterned: (readonly MatchEntry[])[] = [];
  for (const list of lists) {
    const hopeful = hopefulOf(list, request);
    if (hopeful.patterned.length > 0) patterned.push(hopeful.patterned);
    if (hopeful.met !== undefined && (met === undefined || byPrecedence(hopeful.met, met) < 0)) met = hopeful.met;
  }
  for (const entry of inOrder(patterned)) {
    if (met !== undefined && byPrecedence(met, entry) < 0) return met;
    if (isMet(entry, request)) return entry;
  }
  return met;
}

/** Matches by the value that they ask for in one place. */
interface Index {
  readonly said: Asked["said"];
  readonly byValue: Map<string, MatchEntry[]>;
}

function take(list: MatchEntry[], entry: MatchEntry): boolean {
  const at = list.indexOf(entry);
  if (at >= 0) list.splice(at, 1);
  return at >= 0;
}

/**
 * Matches of equal path, or patterns, by what they ask a request to say exactly, so that of many only those that may be
 * met are tried. Each stands in one list, in order of precedence: that of one value that it asks for, or the rest.
 */
export class Selection {
  readonly #indexes = new Map<string, Index>();
  readonly #rest: MatchEntry[] = [];

  add(entry: MatchEntry): void {
    insertInOrder(this.#listFor(entry), entry);
  }

  remove(entry: MatchEntry): void {
    for (const { key, value } of askedOf(entry.match)) {
      const index = this.#indexes.get(key);
      const list = index?.byValue.get(value);
      if (index === undefined || list === undefined || !take(list, entry)) continue;
      if (list.length === 0) index.byValue.delete(value);
      if (index.byValue.size === 0) this.#indexes.delete(key);
      return;
    }
    take(this.#rest, entry);
  }

  /** @throws PatternLimit */
  first(request: RequestView): MatchEntry | undefined {
    const lists = this.#rest.length === 0 ? [] : [this.#rest];
    for (const { said, byValue } of this.#indexes.values()) {
      const value = said(request);
      const list = value === undefined ? undefined : byValue.get(value);
      if (list !== undefined) lists.push(list);
    }
    return firstOfAll(lists, request);
  }

  /** Of all that `entry` asks for, what the fewest others stand by. */
  #listFor({ match }: MatchEntry): MatchEntry[] {
    let best: { asked: Asked; count: number } | undefined;
    for (const asked of askedOf(match)) {
      const count = this.#indexes.get(asked.key)?.byValue.get(asked.value)?.length ?? 0;
      if (count < (best?.count ?? Infinity)) best = { asked, count };
    }
    if (best === undefined) return this.#rest;
    const { key, value, said } = best.asked;
    let index = this.#indexes.get(key);
    if (index === undefined) this.#indexes.set(key, (index = { said, byValue: new Map() }));
    let list = index.byValue.get(value);
    if (list === undefined) index.byValue.set(value, (list = []));
    return list;
  }
}

export const isShort = (list: readonly MatchEntry[]): boolean => list.length <= FEW;

/** The selections of those lists of a host that are not short. */
export class Selections {
  readonly #byList = new Map<readonly MatchEntry[], Selection>();

  /** @throws PatternLimit */
  first(list: readonly MatchEntry[], request: RequestView): MatchEntry | undefined {
    const selection = this.#byList.get(list);
    return selection === undefined ? firstMet(list, request) : selection.first(request);
  }

  /** @param list  Not short, and with the entry. */
  added(list: readonly MatchEntry[], entry: MatchEntry): void {
    const selection = this.#byList.get(list);
    if (selection !== undefined) return selection.add(entry);
    const made = new Selection();
    for (const one of list) made.add(one);
    this.#byList.set(list, made);
  }

  removed(list: readonly MatchEntry[], entry: MatchEntry): void {
    if (isShort(list)) this.#byList.delete(list);
    else this.#byList.get(list)?.remove(entry);
  }
}
