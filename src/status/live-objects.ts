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

/** The latest version of every object whose status we may write. */
export class LiveObjects {
  readonly #objects = new Map<Key, Kept>();

  set(key: Key, raw: unknown): void {
    const { metadata, status } = raw as Raw;
    this.#objects.set(key, {
      uid: metadata?.uid ?? "",
      resourceVersion: metadata?.resourceVersion ?? "",
      generation: metadata?.generation ?? 0,
      status: status === undefined ? undefined : JSON.stringify(status),
    });
  }

  /** What may have been overtaken: taken only where the object is still there, in an older version. */
  setNewer(key: Key, raw: unknown): void {
    const version = (raw as Raw).metadata?.resourceVersion ?? "";
    const known = this.#objects.get(key)?.resourceVersion;
    if (known === undefined || !/^[0-9]+$/.test(version) || !/^[0-9]+$/.test(known)) return;
    if (BigInt(version) > BigInt(known)) this.set(key, raw);
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
