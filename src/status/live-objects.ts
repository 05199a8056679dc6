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

/** The latest version of every object whose status we may write. */
export class LiveObjects {
  readonly #objects = new Map<Key, LiveObject>();

  set(key: Key, raw: unknown): void {
    const { metadata, status } = raw as Raw;
    this.#objects.set(key, {
      uid: metadata?.uid ?? "",
      resourceVersion: metadata?.resourceVersion ?? "",
      generation: metadata?.generation ?? 0,
      status,
    });
  }

  delete(key: Key): void {
    this.#objects.delete(key);
  }

  get(key: Key): LiveObject | undefined {
    return this.#objects.get(key);
  }
}
