import { type Stats, readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Key, displayName } from "../../api/keys.ts";
import { ALL_KINDS } from "../../api/kinds.ts";
import type { KubeObject } from "../../api/objects.ts";
import { type Diagnostic, type Location, type Manifest, readManifest } from "./manifest.ts";

const MANIFEST_NAME = /\.(ya?ml|json)$/;
const STDIN = "-";
const BELIEVE_EMPTY_MS = 1000;

/** Files of the paths in order of name: a path that is a file is read whatever its name, folders are searched. */
export function listFiles(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    if (path === STDIN) return [STDIN];
    if (!statSync(path).isDirectory()) return [path];
    const names = readdirSync(path, { recursive: true, encoding: "utf8" });
    return names
      .filter((name) => MANIFEST_NAME.test(name) && !name.split("/").some((part) => part.startsWith(".")))
      .map((name) => join(path, name))
      .filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile() === true)
      .sort();
  });
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

const fingerprintOf = ({ mtimeMs, ino, size }: Stats): string => `${mtimeMs}:${ino}:${size}`;

/** Reads manifests again and again; a file that breaks keeps its last good objects until it is mended or gone. */
export class Folder {
  readonly #paths: readonly string[];
  readonly #known = new Map<string, Known>();
  #stdin: string | undefined;

  constructor(paths: readonly string[]) {
    this.#paths = paths;
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
    const manifest = readManifest(file === STDIN ? "stdin" : file, this.#text(file));
    const now = Date.now();
    if (wasEmptied(known, manifest) && now - (known.emptySince ?? now) < BELIEVE_EMPTY_MS) {
      this.#known.set(file, { ...known, emptySince: known.emptySince ?? now });
      return;
    }
    const good = manifest.errors.length === 0 ? manifest.objects : (known?.good ?? manifest.objects);
    this.#known.set(file, { fingerprint, manifest, good });
  }

  #text(file: string): string {
    if (file !== STDIN) return readFileSync(file, "utf8");
    return (this.#stdin ??= readFileSync(0, "utf8"));
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
