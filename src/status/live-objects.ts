import type { Key } from "../api/keys.ts";

/** What of an object the API server holds a writer must know: the version it writes over, and the status that is there. */
export interface LiveObject {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation: number;
  readonly status: unknown;
}

interface Raw {
  readonly metadata?: { readonly uid?: string; readonly resourceVersion?: string; readonly generation?: number };
  readonly status?: unknown;
}

interface Kept extends Omit<LiveObject, "status"> {
  /** JSON: a third of the memory of the object, and hardly ever looked at. */
  readonly status: string | undefined;
}

const isNumber = (version: string | undefined): version is string => version !== undefined && /^[0-9]+$/.test(version);
const isOlder = (a: string | undefined, b: string | undefined): boolean =>
  isNumber(a) && isNumber(b) && BigInt(a) < BigInt(b);

/** The latest version of every object whose status we may write. */
export class LiveObjects {
  readonly #objects = new Map<Key, Kept>();

  /** What the watch brings may be older than what a write of ours was answered with. */
  set(key: Key, raw: unknown): void {
    const { metadata, status } = raw as Raw;
    const known = this.#objects.get(key);
    if (known !== undefined && known.uid === metadata?.uid && isOlder(metadata.resourceVersion, known.resourceVersion))
      return;
    this.#objects.set(key, {
      uid: metadata?.uid ?? "",
      resourceVersion: metadata?.resourceVersion ?? "",
      generation: metadata?.generation ?? 0,
      status: status === undefined ? undefined : JSON.stringify(status),
    });
  }

  /** What may have been overtaken: taken only where the object is still there, in an older version. */
  setNewer(key: Key, raw: unknown): void {
    const { resourceVersion } = (raw as Raw).metadata ?? {};
    const known = this.#objects.get(key)?.resourceVersion;
    if (isOlder(known, resourceVersion)) this.set(key, raw);
  }

  delete(key: Key): void {
    this.#objects.delete(key);
  }

  has(key: Key): boolean {
    return this.#objects.has(key);
  }

  /** A copy of its own each time. */
  get(key: Key): LiveObject | undefined {
    const kept = this.#objects.get(key);
    if (kept === undefined) return undefined;
    return { ...kept, status: kept.status === undefined ? undefined : (JSON.parse(kept.status) as unknown) };
  }
}
