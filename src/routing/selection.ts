import { type RequestView, pathMatches, unmetPattern, unmetPlainCondition } from "./match.ts";
import { byPrecedence, insertInOrder, type MatchEntry } from "./precedence.ts";
import type { RequestMatch, ValueMatch } from "./rule.ts";

/** Up to here a list is looked through. */
const FEW = 16;
/** To put one entry in order costs about as much as to look at so many, where there are thousands. */
const COST_OF_ORDER = 128;
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

const isPlainlyMet = ({ match }: MatchEntry, request: RequestView): boolean =>
  unmetPlainCondition(match, request) === undefined;

/** Whether `request` meets all of a match whose path, unless it is a pattern, has been looked up. Patterns come last. */
const isMet = (entry: MatchEntry, request: RequestView): boolean =>
  isPlainlyMet(entry, request) &&
  (entry.match.path.kind !== "regex" || pathMatches(entry.match.path, request.path, request.patterns)) &&
  unmetPattern(entry.match, request) === undefined;

/** @throws PatternLimit */
export function firstMet(entries: readonly MatchEntry[], request: RequestView): MatchEntry | undefined {
  for (const entry of entries) if (isMet(entry, request)) return entry;
  return undefined;
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
  readonly #all: readonly MatchEntry[];
  readonly #indexes = new Map<string, Index>();
  readonly #rest: MatchEntry[] = [];

  /** @param all  The same entries in order of precedence, kept so by who calls. */
  constructor(all: readonly MatchEntry[]) {
    this.#all = all;
    for (const entry of all) this.add(entry);
  }

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

  /**
   * What comes first is tried first, because a pattern that is tried takes of the time of those after it.
   *
   * @throws PatternLimit
   */
  first(request: RequestView): MatchEntry | undefined {
    const lists = this.#listsFor(request);
    const [only = []] = lists;
    if (lists.length <= 1) return firstMet(only, request);
    const hopeful = this.#hopeful(lists, request);
    if (hopeful === undefined) return firstMet(this.#all, request);
    return firstMet(hopeful.sort(byPrecedence), request);
  }

  /** Those of which only patterns can say no; undefined: so many that to put them in order costs more than to look at all. */
  #hopeful(lists: readonly (readonly MatchEntry[])[], request: RequestView): MatchEntry[] | undefined {
    const most = Math.max(FEW, this.#all.length / COST_OF_ORDER);
    const hopeful: MatchEntry[] = [];
    for (const list of lists)
      for (const entry of list) {
        if (!isPlainlyMet(entry, request)) continue;
        if (hopeful.push(entry) > most) return undefined;
      }
    return hopeful;
  }

  #listsFor(request: RequestView): readonly (readonly MatchEntry[])[] {
    const lists = this.#rest.length === 0 ? [] : [this.#rest];
    for (const { said, byValue } of this.#indexes.values()) {
      const value = said(request);
      const list = value === undefined ? undefined : byValue.get(value);
      if (list !== undefined) lists.push(list);
    }
    return lists;
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
    this.#byList.set(list, new Selection(list));
  }

  removed(list: readonly MatchEntry[], entry: MatchEntry): void {
    if (isShort(list)) this.#byList.delete(list);
    else this.#byList.get(list)?.remove(entry);
  }
}
