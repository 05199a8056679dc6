import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { ALL_KINDS, type Kind } from "../../api/kinds.ts";
import { type KubeObject, deepFreeze } from "../../api/objects.ts";
import type { Store } from "../../snapshot/store.ts";

const FORMAT = 1;
/** Of SHA-256, in hexadecimal. */
const DIGEST_LENGTH = 64;
/** Objects that are written in one go. */
const PIECE = 200;
const SAVE_INTERVAL_MS = 2000;
/** A file that is still true is written again this often, so that its age counts from when we last knew. */
const RENEW_MS = 10 * 60_000;

/** Objects that a table can be made of again. Secrets are never among them: references to them are. */
const SAVED_KINDS: readonly Kind[] = ALL_KINDS.filter((kind) => kind !== "Secret");

interface Content {
  readonly format: number;
  /** RFC 3339. */
  readonly savedAt: string;
  readonly builtin: boolean;
  readonly objects: readonly KubeObject[];
}

export type LastGood =
  | {
      readonly ok: true;
      readonly builtin: boolean;
      readonly ageSeconds: number;
      readonly objects: readonly KubeObject[];
    }
  | { readonly ok: false; readonly problem: string };

const digest = (text: string): string => createHash("sha256").update(text).digest("hex");

/**
 * What was last served, from a file of ours.
 *
 * @param maxAgeSeconds  Older files are refused: a table of long ago does more harm than none.
 * @returns              The problem when the file is missing, broken, of another format or too old. Never throws.
 */
export function readLastGood(file: string, maxAgeSeconds: number, nowMs: number): LastGood {
  const refuse = (problem: string): LastGood => ({ ok: false, problem: `${file} ${problem}` });
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    return refuse(`cannot be read (${(error as NodeJS.ErrnoException).code ?? "error"})`);
  }
  const end = text.indexOf("\n");
  const body = text.slice(end + 1);
  if (end < 0 || text.slice(0, end) !== digest(body)) return refuse("does not have the checksum that it names");
  const content = JSON.parse(body) as Content;
  if (content.format !== FORMAT) return refuse(`has format ${content.format}, not ${FORMAT}`);
  const ageSeconds = Math.round((nowMs - Date.parse(content.savedAt)) / 1000);
  if (ageSeconds > maxAgeSeconds) return refuse(`is ${ageSeconds} seconds old, more than ${maxAgeSeconds}`);
  return {
    ok: true,
    builtin: content.builtin,
    ageSeconds,
    objects: content.objects,
  };
}

/** So that what the API server says of the same version replaces what another build of us kept of it. */
const withoutVersion = (object: KubeObject): KubeObject =>
  deepFreeze({ ...object, metadata: { ...object.metadata, resourceVersion: "" } });

/**
 * Makes a store what it was in these kinds, whose lists have yet to come and will replace them. What the API server has
 * listed already is newer, and nothing would bring it back.
 */
export function restore(store: Store, objects: readonly KubeObject[], kinds: Iterable<Kind>): void {
  store.transaction(() => {
    for (const kind of kinds) store.replace(kind, objects.filter((object) => object.kind === kind).map(withoutVersion));
  });
}

/** Keeps the file up to date: some time after each change, whole, moved into place. */
export class LastGoodKeeper {
  readonly #file: string;
  readonly #store: Store;
  readonly #builtin: boolean;
  readonly #failed: (error: unknown) => void;
  readonly #now: () => number;
  #savedAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  /** @param parts.now  Milliseconds since 1970. */
  constructor(parts: {
    readonly file: string;
    readonly store: Store;
    readonly builtin: boolean;
    readonly now: () => number;
    readonly failed: (error: unknown) => void;
  }) {
    this.#file = parts.file;
    this.#store = parts.store;
    this.#builtin = parts.builtin;
    this.#now = parts.now;
    this.#failed = parts.failed;
  }

  /** The API server has just said that nothing is missing here. */
  confirmed(): void {
    if (this.#now() - this.#savedAt >= RENEW_MS) this.changed();
  }

  /** Something has changed that is served now. */
  changed(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#writing = this.#writing.then(async () => this.#save()).catch(this.#failed);
    }, SAVE_INTERVAL_MS);
  }

  /** Waits for what is being written; what would have been written later is left. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#writing;
  }

  /** Piece by piece, so that requests are served meanwhile. Objects never change, so the list is of one moment. */
  async #save(): Promise<void> {
    const objects = SAVED_KINDS.flatMap((kind) =>
      [...this.#store.keys(kind)].flatMap((key) => this.#store.peek(key) ?? []),
    );
    const now = this.#now();
    const head = { format: FORMAT, savedAt: new Date(now).toISOString(), builtin: this.#builtin };
    const hash = createHash("sha256");
    const partial = `${this.#file}.partial`;
    const file = await open(partial, "w", 0o600);
    try {
      const write = async (text: string): Promise<void> => {
        hash.update(text);
        await file.write(text);
      };
      await file.write(`${"0".repeat(DIGEST_LENGTH)}\n`);
      await write(`${JSON.stringify(head).slice(0, -1)},"objects":[`);
      for (let i = 0; i < objects.length; i += PIECE) {
        const piece = objects.slice(i, i + PIECE).map((object) => JSON.stringify(object));
        await write(`${i === 0 ? "" : ","}${piece.join(",")}`);
      }
      await write("]}");
      await file.write(hash.digest("hex"), 0);
    } finally {
      await file.close();
    }
    this.#savedAt = now;
    await rename(partial, this.#file);
  }
}
