import { type MatchEntry, insertInOrder } from "./precedence.ts";
import { sameConditions } from "./match.ts";
import type { RequestMatch, ValueMatch } from "./rule.ts";

/** Up to here a list is looked through; most have one entry. */
const FEW = 8;

type Groups = Map<string, MatchEntry[]>;
const keys = new WeakMap<RequestMatch, string>();

const textOf = (match: ValueMatch): string =>
  JSON.stringify([match.name, match.kind, match.kind === "exact" ? match.value : match.regex.source]);

/** Equal for matches of equal path that hold for exactly the same requests. */
function keyOf(match: RequestMatch): string {
  let key = keys.get(match);
  if (key === undefined) {
    const { path, method = "", headers, cookies, queryParams } = match;
    const lists = [headers, cookies, queryParams].map((list) => list.map(textOf).sort());
    key = JSON.stringify([path.kind === "regex" ? path.regex.source : "", method, lists]);
    keys.set(match, key);
  }
  return key;
}

const sameRequests = (a: RequestMatch, b: RequestMatch): boolean =>
  sameConditions(a, b) &&
  (a.path.kind !== "regex" || (b.path.kind === "regex" && a.path.regex.source === b.path.regex.source));

/** Which entries of a list are for exactly the same requests. Long lists are grouped, so that asking costs the same. */
export class Rivals {
  readonly #groups = new Map<readonly MatchEntry[], Groups>();

  /** The entries of `list` for the same requests as `entry`, itself included, in order of precedence. */
  of(list: readonly MatchEntry[], entry: MatchEntry): readonly MatchEntry[] {
    if (list.length <= FEW) return list.filter(({ match }) => sameRequests(match, entry.match));
    return this.#groupsOf(list).get(keyOf(entry.match)) ?? [];
  }

  added(list: readonly MatchEntry[], entry: MatchEntry): void {
    const groups = this.#groups.get(list);
    if (groups !== undefined) addTo(groups, entry);
  }

  removed(list: readonly MatchEntry[], entry: MatchEntry): void {
    if (list.length <= FEW) {
      this.#groups.delete(list);
      return;
    }
    const groups = this.#groups.get(list);
    const group = groups?.get(keyOf(entry.match)) ?? [];
    const at = group.indexOf(entry);
    if (at >= 0) group.splice(at, 1);
    if (group.length === 0) groups?.delete(keyOf(entry.match));
  }

  #groupsOf(list: readonly MatchEntry[]): Groups {
    let groups = this.#groups.get(list);
    if (groups === undefined) {
      groups = new Map();
      for (const entry of list) addTo(groups, entry);
      this.#groups.set(list, groups);
    }
    return groups;
  }
}

function addTo(groups: Groups, entry: MatchEntry): void {
  const key = keyOf(entry.match);
  const group = groups.get(key);
  if (group === undefined) groups.set(key, [entry]);
  else insertInOrder(group, entry);
}
