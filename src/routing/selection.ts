import { pathMatches, unmetCondition, type RequestView } from "./match.ts";
import { byPrecedence, insertInOrder, type MatchEntry } from "./precedence.ts";
import type { RequestMatch, ValueMatch } from "./rule.ts";

/** Up to here a list is looked through. */
const FEW = 16;

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

/** Segments that every path of a pattern begins with: those that end within its literal beginning. */
function askedSegments({ path }: RequestMatch): Asked[] {
  if (path.kind !== "regex") return [];
  const whole = path.regex.prefix.split("/").slice(1, -1);
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
export function firstMet(
  list: readonly MatchEntry[],
  request: RequestView,
  before?: MatchEntry,
): MatchEntry | undefined {
  for (const entry of list) {
    if (before !== undefined && byPrecedence(before, entry) < 0) return undefined;
    if (isMet(entry, request)) return entry;
  }
  return undefined;
}

interface Split {
  readonly key: string;
  readonly said: Asked["said"];
  readonly byValue: Map<string, Selection>;
  readonly rest: Selection;
}

/**
 * Matches of equal path, or patterns, told apart by what they ask a request to say exactly, so that of many only those
 * that may be met are looked at: a tree, whose leaves are lists in order of precedence.
 */
export class Selection {
  #entries: MatchEntry[] = [];
  #split: Split | undefined;
  #size = 0;
  /** The next length at which it is seen whether a leaf can be split. */
  #limit = FEW;
  readonly #used: ReadonlySet<string>;

  /** @param used  Keys by which the nodes above have told entries apart. */
  constructor(used: ReadonlySet<string> = new Set()) {
    this.#used = used;
  }

  add(entry: MatchEntry): void {
    this.#size++;
    if (this.#split !== undefined) return this.#childFor(this.#split, entry).add(entry);
    insertInOrder(this.#entries, entry);
    if (this.#entries.length <= this.#limit) return;
    this.#limit *= 2;
    this.#divide();
  }

  remove(entry: MatchEntry): void {
    this.#size--;
    if (this.#split !== undefined) return this.#removeBelow(this.#split, entry);
    const at = this.#entries.indexOf(entry);
    if (at >= 0) this.#entries.splice(at, 1);
  }

  /**
   * The first that `request` meets.
   *
   * @param before  Only those that come before it.
   * @throws        PatternLimit
   */
  first(request: RequestView, before?: MatchEntry): MatchEntry | undefined {
    if (this.#split === undefined) return firstMet(this.#entries, request, before);
    const { said, byValue, rest } = this.#split;
    const value = said(request);
    const found = value === undefined ? undefined : byValue.get(value)?.first(request, before);
    return rest.first(request, found ?? before) ?? found;
  }

  /** Values come and go with the routes that ask for them: nothing is kept of one that nobody asks for any more. */
  #removeBelow(split: Split, entry: MatchEntry): void {
    const child = this.#childFor(split, entry);
    child.remove(entry);
    if (child.#size > 0 || child === split.rest) return;
    for (const { key, value } of askedOf(entry.match)) if (key === split.key) split.byValue.delete(value);
  }

  #childFor({ key, byValue, rest }: Split, { match }: MatchEntry): Selection {
    const asked = askedOf(match).find((one) => one.key === key);
    if (asked === undefined) return rest;
    let child = byValue.get(asked.value);
    if (child === undefined) byValue.set(asked.value, (child = new Selection(new Set([...this.#used, key]))));
    return child;
  }

  #divide(): void {
    const best = this.#bestKey();
    if (best === undefined) return;
    const { key, said } = best;
    this.#split = { key, said, byValue: new Map(), rest: new Selection(new Set([...this.#used, key])) };
    const entries = this.#entries;
    this.#entries = [];
    this.#size = 0;
    for (const entry of entries) this.add(entry);
  }

  /** What tells most of them apart: the more ask for it, and the fewer of them for the same, the better. */
  #bestKey(): Asked | undefined {
    const keys = new Map<string, { asked: Asked; count: number; values: Map<string, number> }>();
    for (const { match } of this.#entries)
      for (const asked of askedOf(match)) {
        if (this.#used.has(asked.key)) continue;
        const seen = keys.get(asked.key) ?? { asked, count: 0, values: new Map<string, number>() };
        keys.set(asked.key, seen);
        seen.count++;
        seen.values.set(asked.value, (seen.values.get(asked.value) ?? 0) + 1);
      }
    let best: { asked: Asked; gain: number } | undefined;
    for (const { asked, count, values } of keys.values()) {
      const gain = count - Math.max(...values.values());
      if (gain > (best?.gain ?? this.#entries.length / 4)) best = { asked, gain };
    }
    return best?.asked;
  }
}

/** The selections of long lists, each made when it is first asked. */
export class Selections {
  readonly #byList = new Map<readonly MatchEntry[], Selection>();

  /** @throws PatternLimit */
  first(list: readonly MatchEntry[], request: RequestView): MatchEntry | undefined {
    let selection = this.#byList.get(list);
    if (selection === undefined) {
      selection = new Selection();
      for (const entry of list) selection.add(entry);
      this.#byList.set(list, selection);
    }
    return selection.first(request);
  }

  added(list: readonly MatchEntry[], entry: MatchEntry): void {
    this.#byList.get(list)?.add(entry);
  }

  removed(list: readonly MatchEntry[], entry: MatchEntry): void {
    if (isShort(list)) this.#byList.delete(list);
    else this.#byList.get(list)?.remove(entry);
  }
}

export const isShort = (list: readonly MatchEntry[]): boolean => list.length <= FEW;
