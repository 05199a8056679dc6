import { pathMatches, sameConditions, unmetCondition, type RequestView } from "./match.ts";
import { byPrecedence, type MatchEntry } from "./precedence.ts";

/** Adds to a list that is kept in order of precedence. */
function insert(list: MatchEntry[], entry: MatchEntry): void {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = list[middle];
    if (other !== undefined && byPrecedence(other, entry) <= 0) low = middle + 1;
    else high = middle;
  }
  list.splice(low, 0, entry);
}

const firstMet = (list: readonly MatchEntry[] | undefined, request: RequestView): MatchEntry | undefined =>
  list?.find((entry) => unmetCondition(entry.match, request) === undefined);

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

function withPath(index: PathIndex, path: string, entry: MatchEntry): PathIndex {
  const own: PathIndex = index === NO_PATHS ? new Map<string, MatchEntry[]>() : index;
  // Written out, not pushed to: nearly every list stays at one entry, and one that is pushed to has room for seventeen.
  return own.set(path, [entry]);
}

/**
 * The matches of one hostname of one listener, indexed so that neither a request nor a change costs more with the
 * number of other paths: exact paths and prefixes by lookup, patterns in order.
 */
export class VirtualHost {
  #exact = NO_PATHS;
  #prefix = NO_PATHS;
  readonly #regex: MatchEntry[] = [];
  #size = 0;
  /** At least the length of every prefix here: a long path is not taken apart further than that. */
  #longestPrefix = 0;

  get size(): number {
    return this.#size;
  }

  add(entry: MatchEntry): void {
    const { path } = entry.match;
    const bucket = this.#bucket(entry);
    if (bucket !== undefined) insert(bucket, entry);
    else if (path.kind === "exact") this.#exact = withPath(this.#exact, path.value, entry);
    else if (path.kind === "prefix") this.#prefix = withPath(this.#prefix, path.value, entry);
    if (path.kind === "prefix") this.#longestPrefix = Math.max(this.#longestPrefix, path.value.length);
    this.#size++;
  }

  remove(entry: MatchEntry): void {
    const bucket = this.#bucket(entry);
    const at = bucket?.indexOf(entry) ?? -1;
    if (bucket === undefined || at < 0) return;
    bucket.splice(at, 1);
    this.#size--;
    const { path } = entry.match;
    if (bucket.length === 0 && path.kind !== "regex") this.#index(path.kind).delete(path.value);
  }

  /** The entry that wins `request`, if any. */
  match(request: RequestView): MatchEntry | undefined {
    const exact = firstMet(this.#exact.get(request.path), request);
    if (exact !== undefined) return exact;
    const regex = this.#regex.find(
      (entry) => pathMatches(entry.match.path, request.path) && unmetCondition(entry.match, request) === undefined,
    );
    if (regex !== undefined) return regex;
    if (this.#prefix.size === 0) return undefined;
    for (const prefix of segmentPrefixes(request.path, this.#longestPrefix)) {
      const found = firstMet(this.#prefix.get(prefix), request);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /**
   * Entries that take every request from `entry` or that it takes every request from, itself included; the one that
   * wins comes first.
   */
  contenders(entry: MatchEntry): readonly MatchEntry[] {
    const same = this.#equals(entry);
    const all = this.#regex.find(isCatchAll);
    if (all === undefined) return same;
    const isBehind = (other: MatchEntry): boolean => byPrecedence(all, other) < 0;
    if (all === entry) return [...same, ...this.#regex.filter(isBehind), ...[...this.#prefix.values()].flat()];
    return isBehind(entry) ? [all, ...same] : same;
  }

  /** Entries for exactly the same requests as `entry`, itself included, in order of precedence. */
  #equals(entry: MatchEntry): readonly MatchEntry[] {
    const { path } = entry.match;
    return (this.#bucket(entry) ?? []).filter(
      (other) =>
        sameConditions(other.match, entry.match) &&
        (path.kind !== "regex" ||
          (other.match.path.kind === "regex" && other.match.path.regex.source === path.regex.source)),
    );
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
    return path.kind === "regex" ? this.#regex : this.#index(path.kind).get(path.value);
  }
}
