import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { Store } from "../../src/snapshot/store.ts";
import { FilesSource } from "../../src/sources/files/files-source.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { routeYaml } from "../support/objects.ts";

// A host that has no inotify watches left, which a test cannot bring about without harm to everything else on it.
const host = vi.hoisted(() => ({ isExhausted: false }));
vi.mock(import("node:fs"), async (original) => {
  const fs = await original();
  const watch = (...args: Parameters<typeof fs.watch>): ReturnType<typeof fs.watch> => {
    if (host.isExhausted) throw Object.assign(new Error("no space left on device, watch"), { code: "ENOSPC" });
    return fs.watch(...args);
  };
  return { ...fs, default: fs, watch: watch as typeof fs.watch };
});

test.for([true, false])(
  "folders that cannot be watched are read all the same (from the start: %s)",
  async (isFirst) => {
    const folder = mkdtempSync(join(tmpdir(), "serviceroute-unwatched-"));
    const store = new Store();
    const source = new FilesSource([folder], "", store, createLogger("silent"), () => undefined);
    const stop = new AbortController();
    host.isExhausted = isFirst;
    const running = source.start(stop.signal);
    host.isExhausted = true;
    mkdirSync(join(folder, "below"));
    writeFileSync(join(folder, "below/r.yaml"), routeYaml("r", "rules: [{backendRefs: [{name: web, port: 80}]}]"));
    await expect.poll(() => store.keys("ServiceRoute").size, { timeout: 5000 }).toBe(1);
    stop.abort();
    await running;
    rmSync(folder, { recursive: true });
  },
);
