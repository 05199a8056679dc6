import { deserialize, serialize } from "node:v8";
import { PrivateKey } from "../routing/listener.ts";
import { type Regex, compileRegex, isRegex } from "../routing/regex.ts";
import { type TableDiff, emptyDiff } from "../routing/routing-table.ts";

/** Of routes or endpoints: what a worker reads at once between two requests. */
const PART_SIZE = 50;

/**
 * What stands for an object with a class of its own. Tables hold no objects whose fields are named by users, so that
 * nothing else has these names.
 */
type Stand = { readonly $pattern: string } | { readonly $privateKey: string };

/** A diff as bytes, in parts. Written once, however many workers there are. */
const written = new WeakMap<TableDiff, readonly Uint8Array[]>();

export function partsOfDiff(diff: TableDiff): readonly Uint8Array[] {
  let parts = written.get(diff);
  if (parts === undefined) {
    parts = split(diff).map((part) => serialize(plain(part, new Map())));
    written.set(diff, parts);
  }
  return parts;
}

/** Adds what the bytes of one part say. */
export function readPart(bytes: Uint8Array, into: ReturnType<typeof emptyDiff>): void {
  const { listeners, routes, endpoints } = revived(deserialize(bytes), new Set()) as TableDiff;
  for (const [id, listener] of listeners) into.listeners.set(id, listener);
  for (const [key, route] of routes) into.routes.set(key, route);
  for (const [key, set] of endpoints) into.endpoints.set(key, set);
}

function split({ listeners, routes, endpoints }: TableDiff): TableDiff[] {
  const parts: TableDiff[] = [];
  const none = emptyDiff();
  for (const some of groups(endpoints)) parts.push({ ...none, endpoints: some });
  for (const some of groups(routes)) parts.push({ ...none, routes: some });
  return listeners.size > 0 || parts.length === 0 ? [...parts, { ...none, listeners }] : parts;
}

function groups<K, V>(all: ReadonlyMap<K, V>): ReadonlyMap<K, V>[] {
  if (all.size <= PART_SIZE) return all.size === 0 ? [] : [all];
  const entries = [...all];
  const count = Math.ceil(entries.length / PART_SIZE);
  return Array.from({ length: count }, (_, at) => new Map(entries.slice(at * PART_SIZE, (at + 1) * PART_SIZE)));
}

/** A copy that the engine's own serializer takes. What is the same object stays one. */
function plain(value: unknown, copies: Map<object, unknown>): unknown {
  if (typeof value !== "object" || value === null) return value;
  const known = copies.get(value);
  if (known !== undefined) return known;
  if (value instanceof PrivateKey) return { $privateKey: value.reveal() } satisfies Stand;
  if (isRegex(value)) return { $pattern: value.source } satisfies Stand;
  if (Array.isArray(value))
    return remembered(copies, value, (copy: unknown[]) => copy.push(...value.map((one) => plain(one, copies))), []);
  if (value instanceof Map)
    return remembered(
      copies,
      value,
      (copy: Map<unknown, unknown>) => {
        for (const [key, one] of value) copy.set(key, plain(one, copies));
      },
      new Map<unknown, unknown>(),
    );
  return remembered(
    copies,
    value,
    (copy: Record<string, unknown>) => {
      for (const [name, one] of Object.entries(value)) copy[name] = plain(one, copies);
    },
    {},
  );
}

function remembered<T>(copies: Map<object, unknown>, of: object, fill: (copy: T) => void, copy: T): T {
  copies.set(of, copy);
  fill(copy);
  return copy;
}

/** Puts objects of classes where others stand for them, in place. */
function revived(value: unknown, seen: Set<object>): unknown {
  if (typeof value !== "object" || value === null) return value;
  if ("$pattern" in value) return patternOf(String(value.$pattern));
  if ("$privateKey" in value) return new PrivateKey(String(value.$privateKey));
  if (seen.has(value)) return value;
  seen.add(value);
  if (value instanceof Map) for (const [key, one] of value) value.set(key, revived(one, seen));
  else for (const [name, one] of Object.entries(value)) (value as Record<string, unknown>)[name] = revived(one, seen);
  return value;
}

function patternOf(source: string): Regex {
  const result = compileRegex(source);
  if (!result.ok) throw new Error(`a pattern that was compiled once is refused now: ${result.message}`);
  return result.regex;
}
