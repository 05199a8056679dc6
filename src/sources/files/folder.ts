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

/** Files of the paths in order of name: a path that is a file is read whatever its name, folders are searched. */
export function listFiles(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    if (path === STDIN) return [STDIN];
    if (!statSync(path).isDirectory()) return [path];
    return manifestsIn(path, new Set()).sort();
  });
}

/** Follows links, as a mounted ConfigMap consists of them, but into no folder twice: a link may lead back up. */
function manifestsIn(folder: string, seen: Set<string>): string[] {
  const real = realpathSync(folder);
  if (seen.has(real)) return [];
  seen.add(real);
  const entries = readdirSync(folder, { withFileTypes: true }).filter(({ name }) => !name.startsWith("."));
  // What is really here comes before what a link leads to.
  const isLink = (entry: Dirent): number => (entry.isSymbolicLink() ? 1 : 0);
  return entries
    .sort((a, b) => isLink(a) - isLink(b))
    .flatMap(({ name }) => {
      const path = join(folder, name);
      const stats = statSync(path, { throwIfNoEntry: false });
      if (stats?.isDirectory() === true) return manifestsIn(path, seen);
      return stats?.isFile() === true && MANIFEST_NAME.test(name) ? [path] : [];
    });
}

/** What stdin has, once it has ended, if it is among the paths. Not read in one go: whoever writes may take their time. */
export async function readStdin(paths: readonly string[]): Promise<string> {
  return paths.includes(STDIN) ? text(process.stdin) : "";
}

interface Known {
  readonly fingerprint: string;
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

/** One file that cannot be read is a mistake of that file alone. */
function read(file: string, size: number): Manifest {
  if (size > MAX_BYTES) return tooLarge(file);
  try {
    return readManifest(file, readFileSync(file, "utf8"));
  } catch (error) {
    return unreadable(file, `cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
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
    const files = listFiles(this.#paths);
    for (const file of this.#known.keys()) if (!files.includes(file)) this.#known.delete(file);
    for (const file of files) this.#readFile(file);
    return this.#merge(files);
  }

  #readFile(file: string): void {
    const stats = file === STDIN ? undefined : statSync(file, { throwIfNoEntry: false });
    const fingerprint = stats === undefined ? STDIN : fingerprintOf(stats);
    const known = this.#known.get(file);
    if (known?.fingerprint === fingerprint) return;
    const manifest = file === STDIN ? readManifest("stdin", this.#stdin) : read(file, stats?.size ?? 0);
    const now = Date.now();
    if (wasEmptied(known, manifest) && now - (known.emptySince ?? now) < BELIEVE_EMPTY_MS) {
      this.#known.set(file, { ...known, emptySince: known.emptySince ?? now });
      return;
    }
    const good = manifest.errors.length === 0 ? manifest.objects : (known?.good ?? manifest.objects);
    this.#known.set(file, { fingerprint, manifest, good });
  }

  #merge(files: readonly string[]): Reading {
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
