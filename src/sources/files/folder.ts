import { type Dirent, type Stats, readFileSync, readdirSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { type Key, displayName } from "../../api/keys.ts";
import { ALL_KINDS } from "../../api/kinds.ts";
import type { KubeObject } from "../../api/objects.ts";
import {
  type Diagnostic,
  type Location,
  MAX_BYTES,
  type Manifest,
  readManifest,
  tooLarge,
  unreadable,
} from "./manifest.ts";

const MANIFEST_NAME = /\.(ya?ml|json)$/;
const STDIN = "-";
const BELIEVE_EMPTY_MS = 1000;

interface Found {
  readonly path: string;
  /** Undefined for stdin, and for what cannot be looked at: it is read all the same, and says why it cannot. */
  readonly stats: Stats | undefined;
}

/** Files of the paths in order of name: a path that is a file is read whatever its name, folders are searched. */
function listFiles(paths: readonly string[]): Found[] {
  return paths.flatMap((path) => {
    if (path === STDIN) return [{ path, stats: undefined }];
    const stats = statSync(path);
    if (!stats.isDirectory()) return [{ path, stats }];
    return manifestsIn(path, new Set()).sort((a, b) => (a.path < b.path ? -1 : 1));
  });
}

/** Follows links, as a mounted ConfigMap consists of them, but into no folder twice: a link may lead back up. */
function manifestsIn(folder: string, seen: Set<string>): Found[] {
  const entries = entriesOf(folder, seen);
  if (entries === undefined) return [{ path: folder, stats: undefined }];
  // What is really here comes before what a link leads to.
  const isLink = (entry: Dirent): number => (entry.isSymbolicLink() ? 1 : 0);
  return entries
    .sort((a, b) => isLink(a) - isLink(b))
    .flatMap(({ name }): Found[] => {
      const path = join(folder, name);
      const stats = statsOf(path);
      if (stats === "unreadable") return [{ path, stats: undefined }];
      if (stats?.isDirectory() === true) return manifestsIn(path, seen);
      return stats?.isFile() === true && MANIFEST_NAME.test(name) ? [{ path, stats }] : [];
    });
}

/** @returns undefined when the folder may not be read; nothing when it has been read before. */
function entriesOf(folder: string, seen: Set<string>): Dirent[] | undefined {
  try {
    const real = realpathSync(folder);
    if (seen.has(real)) return [];
    seen.add(real);
    return readdirSync(folder, { withFileTypes: true }).filter(({ name }) => !name.startsWith("."));
  } catch {
    return undefined;
  }
}

/** A link to itself, or into a folder that nobody may enter, is a mistake of that link alone. */
function statsOf(path: string): Stats | "unreadable" | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return "unreadable";
  }
}

/** What stdin has, once it has ended, if it is among the paths. Not read in one go: whoever writes may take their time. */
export async function readStdin(paths: readonly string[]): Promise<string> {
  return paths.includes(STDIN) ? text(process.stdin) : "";
}

interface Known {
  /** Undefined when it is to be read again whatever it is. */
  readonly fingerprint: string | undefined;
  /** The file was found empty once: `kubectl get -o yaml > file` empties it first. Believed when it stays so. */
  readonly emptySince?: number;
  readonly manifest: Manifest;
  /** Objects of the last version without mistakes. */
  readonly good: Manifest["objects"];
}

export interface Reading {
  readonly objects: ReadonlyMap<Key, { readonly object: KubeObject; readonly location: Location }>;
  readonly errors: readonly Diagnostic[];
  readonly skipped: readonly Diagnostic[];
}

function wasEmptied(known: Known | undefined, manifest: Manifest): known is Known {
  return known !== undefined && known.good.length > 0 && manifest.objects.length === 0 && manifest.errors.length === 0;
}

/** One file that cannot be read is a mistake of that file alone. Rights may come without a change of it: it is tried again. */
function read(file: string, size: number): { readonly manifest: Manifest; readonly again: boolean } {
  if (size > MAX_BYTES) return { manifest: tooLarge(file), again: false };
  try {
    return { manifest: readManifest(file, readFileSync(file, "utf8")), again: false };
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code ?? String(error);
    return { manifest: unreadable(file, `cannot be read: ${why}`), again: true };
  }
}

const fingerprintOf = ({ mtimeMs, ino, size }: Stats): string => `${mtimeMs}:${ino}:${size}`;

/** Reads manifests again and again; a file that breaks keeps its last good objects until it is mended or gone. */
export class Folder {
  readonly #paths: readonly string[];
  readonly #known = new Map<string, Known>();
  readonly #stdin: string;

  /** @param stdin  What `-` among the paths stands for. */
  constructor(paths: readonly string[], stdin = "") {
    this.#paths = paths;
    this.#stdin = stdin;
  }

  /** @throws When a path that was given does not exist. */
  read(): Reading {
    const found = listFiles(this.#paths);
    const files = new Set(found.map(({ path }) => path));
    const closed = found.flatMap(({ path, stats }) => (stats === undefined ? [`${path}/`] : []));
    for (const file of this.#known.keys()) {
      if (files.has(file)) continue;
      // What was in a folder that cannot be looked into any more is still the last that is known of it.
      if (closed.some((folder) => file.startsWith(folder))) files.add(file);
      else this.#known.delete(file);
    }
    for (const one of found) this.#readFile(one);
    return this.#merge(files);
  }

  #readFile({ path: file, stats }: Found): void {
    const fingerprint = stats === undefined ? "" : fingerprintOf(stats);
    const known = this.#known.get(file);
    if (known?.fingerprint === fingerprint) return;
    const { manifest, again } =
      file === STDIN ? { manifest: readManifest("stdin", this.#stdin), again: false } : read(file, stats?.size ?? 0);
    const now = Date.now();
    if (wasEmptied(known, manifest) && now - (known.emptySince ?? now) < BELIEVE_EMPTY_MS) {
      this.#known.set(file, { ...known, emptySince: known.emptySince ?? now });
      return;
    }
    const good = manifest.errors.length === 0 ? manifest.objects : (known?.good ?? manifest.objects);
    this.#known.set(file, { fingerprint: again ? undefined : fingerprint, manifest, good });
  }

  #merge(files: ReadonlySet<string>): Reading {
    const objects = new Map<Key, { object: KubeObject; location: Location }>();
    const errors: Diagnostic[] = [];
    const skipped: Diagnostic[] = [];
    for (const file of files) {
      const known = this.#known.get(file);
      errors.push(...(known?.manifest.errors ?? []));
      skipped.push(...(known?.manifest.skipped ?? []));
      for (const one of known?.good ?? []) {
        const first = objects.get(one.object.key);
        if (first === undefined) objects.set(one.object.key, one);
        else errors.push(duplicate(one, first.location));
      }
    }
    return { objects, errors, skipped };
  }
}

function duplicate({ object, location }: { object: KubeObject; location: Location }, first: Location): Diagnostic {
  const where = first.at([]);
  const name = `${object.kind} ${displayName(object.key)}`;
  return {
    file: location.file,
    ...location.at([]),
    object: name,
    message: `is also in ${first.file}:${where.line}; that one is used`,
  };
}

/** Objects by kind, every kind present, as a store takes them. */
export function byKind(reading: Reading): ReadonlyMap<KubeObject["kind"], KubeObject[]> {
  const groups = new Map<KubeObject["kind"], KubeObject[]>(ALL_KINDS.map((kind) => [kind, []]));
  for (const { object } of reading.objects.values()) groups.get(object.kind)?.push(object);
  return groups;
}
