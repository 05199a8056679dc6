import { type FSWatcher, readdirSync, statSync, watch } from "node:fs";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Key } from "../../api/keys.ts";
import type { KubeObject } from "../../api/objects.ts";
import type { Store } from "../../snapshot/store.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { Folder, type Reading, byKind } from "./folder.ts";
import { formatDiagnostic } from "./manifest.ts";

const SETTLE_MS = 30;
/** Network file systems announce nothing, so folders are looked at now and then all the same. */
const RESCAN_MS = 2000;

interface Counted {
  readonly read: KubeObject;
  readonly generation: number;
  readonly counted: KubeObject;
}

/** Objects out of folders, files or stdin, kept up to date. Plays the API server's part of counting generations. */
export class FilesSource {
  readonly #paths: readonly string[];
  readonly #folder: Folder;
  readonly #store: Store;
  readonly #log: Logger;
  readonly #changed: () => void;
  readonly #counts = new Map<Key, Counted>();
  readonly #watchers = new Map<string, FSWatcher>();
  /** Told once: a host that has no watches left has none for any folder. */
  #unwatched = false;
  #settling: NodeJS.Timeout | undefined;
  #told = new Set<string>();

  /** @param stdin  What `-` among the paths stands for. */
  constructor(paths: readonly string[], stdin: string, store: Store, log: Logger, changed: () => void) {
    this.#paths = paths;
    this.#folder = new Folder(paths, stdin);
    this.#store = store;
    this.#log = log;
    this.#changed = changed;
  }

  /** @throws When a path does not exist: before anything is served. */
  readOnce(): Reading {
    const reading = this.#folder.read();
    this.#store.transaction(() => {
      for (const [kind, objects] of byKind(reading))
        this.#store.replace(
          kind,
          objects.map((object) => this.#counted(object)),
        );
    });
    for (const key of this.#counts.keys()) if (!reading.objects.has(key)) this.#counts.delete(key);
    this.#tell(reading);
    return reading;
  }

  /** Follows changes until `signal` aborts. */
  async start(signal: AbortSignal): Promise<void> {
    this.#watchFolders();
    const rescan = setInterval(() => this.#again(), RESCAN_MS);
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    clearInterval(rescan);
    clearTimeout(this.#settling);
    for (const watcher of this.#watchers.values()) watcher.close();
  }

  /** One watch for each folder: a recursive one of Node misses files that are moved into place. */
  #watchFolders(): void {
    const folders = new Set(this.#paths.filter((path) => path !== "-").flatMap(watchable));
    for (const [folder, watcher] of this.#watchers) {
      if (folders.has(folder)) continue;
      watcher.close();
      this.#watchers.delete(folder);
    }
    for (const folder of folders) if (!this.#watchers.has(folder)) this.#watch(folder);
  }

  #watch(folder: string): void {
    const failed = (err: unknown): void => {
      this.#watchers.delete(folder);
      if (!this.#unwatched) this.#log.warn({ folder, err }, "a folder cannot be watched; it is read every two seconds");
      this.#unwatched = true;
    };
    try {
      const watcher = watch(folder, () => {
        this.#settling ??= setTimeout(() => {
          this.#settling = undefined;
          this.#again();
        }, SETTLE_MS);
      });
      watcher.on("error", failed);
      this.#watchers.set(folder, watcher);
    } catch (error) {
      failed(error);
    }
  }

  #again(): void {
    try {
      this.#watchFolders();
      this.readOnce();
      this.#changed();
    } catch (error) {
      this.#log.error({ err: error }, "manifests cannot be read; the last good ones stay");
    }
  }

  /** Versions and generations that a file names are those of the cluster that it was once got from. */
  #counted(read: KubeObject): KubeObject {
    const last = this.#counts.get(read.key);
    if (last?.read === read) return last.counted;
    const isSame = last !== undefined && isDeepStrictEqual(specOf(last.read), specOf(read));
    const generation = isSame ? last.generation : (last?.generation ?? 0) + 1;
    const counted = { ...read, metadata: { ...read.metadata, generation, resourceVersion: "" } };
    this.#counts.set(read.key, { read, generation, counted });
    return counted;
  }

  /** Each message once, however often the folder is read. */
  #tell({ errors, skipped }: Reading): void {
    const now = new Set<string>();
    for (const [level, list] of [
      ["error", errors],
      ["warn", skipped],
    ] as const) {
      for (const diagnostic of list) {
        const text = formatDiagnostic(diagnostic);
        now.add(text);
        if (!this.#told.has(text)) this.#log[level]({ file: diagnostic.file }, text);
      }
    }
    this.#told = now;
  }
}

const specOf = (object: KubeObject): unknown => ("spec" in object ? object.spec : undefined);

/** The folders whose entries make up a path: itself with all below that can be read, or the one that a file stands in. */
function watchable(path: string): string[] {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return [dirname(path)];
  return foldersBelow(path);
}

function foldersBelow(path: string): string[] {
  try {
    const below = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [path, ...below.flatMap(({ name }) => foldersBelow(join(path, name)))];
  } catch {
    return [];
  }
}
