import type { PatternOwner, PatternTime } from "./pattern-budget.ts";
import type { RequestView } from "./match.ts";
import { byPrecedence, insertInOrder, type MatchEntry } from "./precedence.ts";
import { Rivals } from "./rivals.ts";
import { Selections, firstMet, isShort } from "./selection.ts";

/** Every prefix of `path` of at most `longest` characters that ends at a segment border, longest first; the last is empty. */
function* segmentPrefixes(path: string, longest: number): Generator<string> {
  const first = path.length <= longest ? path.length : path.lastIndexOf("/", longest);
  for (let end = first; end > 0; end = path.lastIndexOf("/", end - 1)) yield path.slice(0, end);
  yield "";
}

const EVERY_PATH = new Set(
  ["", "^"].flatMap((start) => [".*", "/.*", ".+"].flatMap((all) => [`${start}${all}`, `${start}${all}$`])),
);

/** Patterns come before prefixes, so that one for every path leaves nothing to any of them. */
const isCatchAll = ({ match: { path, method, headers, cookies, queryParams } }: MatchEntry): boolean =>
  path.kind === "regex" &&
  EVERY_PATH.has(path.regex.source) &&
  method === undefined &&
  headers.length + cookies.length + queryParams.length === 0;

type PathIndex = Map<string, MatchEntry[]>;
/** Most hosts have only one kind of path, and there is a host for nearly every route. Never written to. */
const NO_PATHS: PathIndex = new Map();
const NO_ENTRIES: MatchEntry[] = [];

function withPath(index: PathIndex, path: string, entry: MatchEntry): PathIndex {
  const own: PathIndex = index === NO_PATHS ? new Map<string, MatchEntry[]>() : index;
  // Written out, not pushed to: nearly every list stays at one entry, and one that is pushed to has room for seventeen.
  return own.set(path, [entry]);
}

/**
 * The matches of one hostname of one listener, indexed so that neither a request nor a change costs more with the
 * number of other paths: exact paths and prefixes by lookup, and so, where there are many, what else they ask for.
 */
export class VirtualHost implements PatternOwner {
  patternTime: PatternTime | undefined;
  #exact = NO_PATHS;
  #prefix = NO_PATHS;
  #regex: MatchEntry[] = NO_ENTRIES;
  /** The first pattern that leaves nothing to any prefix. */
  #catchAll: MatchEntry | undefined;
  #rivals: Rivals | undefined;
  #selections: Selections | undefined;
  #size = 0;
  /** At least the length of every prefix here: a long path is not taken apart further than that. */
  #longestPrefix = 0;

  get size(): number {
    return this.#size;
  }

  add(entry: MatchEntry): void {
    const { path } = entry.match;
    const bucket = this.#bucket(entry);
    if (bucket !== undefined) {
      insertInOrder(bucket, entry);
      this.#rivals?.added(bucket, entry);
      if (!isShort(bucket)) (this.#selections ??= new Selections()).added(bucket, entry);
    } else if (path.kind === "exact") this.#exact = withPath(this.#exact, path.value, entry);
    else if (path.kind === "regex") this.#regex = [entry];
    else this.#prefix = withPath(this.#prefix, path.value, entry);
    if (path.kind === "prefix") this.#longestPrefix = Math.max(this.#longestPrefix, path.value.length);
    if (isCatchAll(entry) && (this.#catchAll === undefined || byPrecedence(entry, this.#catchAll) < 0))
      this.#catchAll = entry;
    this.#size++;
  }

  remove(entry: MatchEntry): void {
    const bucket = this.#bucket(entry);
    const at = bucket?.indexOf(entry) ?? -1;
    if (bucket === undefined || at < 0) return;
    bucket.splice(at, 1);
    this.#rivals?.removed(bucket, entry);
    this.#selections?.removed(bucket, entry);
    this.#size--;
    const { path } = entry.match;
    if (this.#catchAll === entry) this.#catchAll = this.#regex.find(isCatchAll);
    if (bucket.length === 0 && path.kind !== "regex") this.#index(path.kind).delete(path.value);
  }

  /**
   * The entry that wins `request`, if any.
   *
   * @throws PatternLimit
   */
  match(request: RequestView): MatchEntry | undefined {
    request.patterns.chargeTo(this);
    const found = this.#first(this.#exact.get(request.path), request) ?? this.#first(this.#regex, request);
    if (found !== undefined) return found;
    if (this.#prefix.size === 0) return undefined;
    for (const prefix of segmentPrefixes(request.path, this.#longestPrefix)) {
      const longest = this.#first(this.#prefix.get(prefix), request);
      if (longest !== undefined) return longest;
    }
    return undefined;
  }

  #first(list: readonly MatchEntry[] | undefined, request: RequestView): MatchEntry | undefined {
    if (list === undefined || list.length === 0) return undefined;
    return this.#selections === undefined ? firstMet(list, request) : this.#selections.first(list, request);
  }

  /** Who takes every request that `entry` is for: itself when it comes first. */
  winner(entry: MatchEntry): MatchEntry | undefined {
    const all = this.#catchAll;
    if (all !== undefined && byPrecedence(all, entry) < 0) return all;
    return this.#equals(entry)[0];
  }

  /** The entries whose winner it matters to that `entry` is here, or whom it wins over. */
  affected(entry: MatchEntry): readonly MatchEntry[] {
    const same = this.#equals(entry);
    const own = same[0] === entry ? same : [];
    if (this.#catchAll !== entry) return own;
    return [...own, ...this.#regex, ...[...this.#prefix.values()].flat()];
  }

  /** Entries for exactly the same requests as `entry`, itself included, in order of precedence. */
  #equals(entry: MatchEntry): readonly MatchEntry[] {
    const bucket = this.#bucket(entry) ?? [];
    if (bucket.length <= 1) return bucket;
    this.#rivals ??= new Rivals();
    return this.#rivals.of(bucket, entry);
  }

  /** All entries, in order of precedence. For explain and dumps: cost grows with the host. */
  entries(): readonly MatchEntry[] {
    const all = [...this.#exact.values(), this.#regex, ...this.#prefix.values()].flat();
    return all.sort(byPrecedence);
  }

  #index(kind: "exact" | "prefix"): PathIndex {
    return kind === "exact" ? this.#exact : this.#prefix;
  }

  #bucket({ match: { path } }: MatchEntry): MatchEntry[] | undefined {
    if (path.kind !== "regex") return this.#index(path.kind).get(path.value);
    return this.#regex.length === 0 ? undefined : this.#regex;
  }
}
