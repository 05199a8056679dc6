/**
 * `npm run test:protections`: takes each protection out of a copy of the project and sees its test go red. A test that
 * stays green without what it is there for proves nothing.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Provider } from "./provider.ts";
import { clusterForTraffic, inNamespace } from "./traffic.ts";

interface Patch {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}
interface Protection extends Patch {
  readonly protection: string;
  readonly project: string;
  readonly test: string;
  readonly also?: Patch;
}

const ROOT = join(import.meta.dirname, "..");
const NODE = join(ROOT, "hack/node");
const protections = JSON.parse(readFileSync(join(ROOT, "test/protections.json"), "utf8")) as Protection[];
const wanted = process.argv[2];

function copy(): string {
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-protections-"));
  const files = execFileSync("git", ["ls-files"], { cwd: ROOT, encoding: "utf8" }).trim().split("\n");
  for (const file of files) cpSync(join(ROOT, file), join(folder, file), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  return folder;
}

function apply(folder: string, { file, find, replace }: Patch): string {
  const path = join(folder, file);
  const text = readFileSync(path, "utf8");
  if (text.split(find).length !== 2) throw new Error(`${file} does not hold this once: ${find}`);
  writeFileSync(
    path,
    text.replace(find, () => replace),
  );
  return text;
}

const HANGS_MS = 600_000;
let cluster: Provider | undefined;

type Outcome = "red" | "green" | "not run" | "timed out";

/** To load every file of a project takes longer than the one that is asked for. None is named: all are looked through. */
function filesNaming(folder: string, { project, test }: Protection): string[] {
  const { stdout } = spawnSync("grep", ["-rlF", "--", test, `test/${project}`], { cwd: folder, encoding: "utf8" });
  return stdout.split("\n").filter((file) => file.endsWith(".test.ts"));
}

async function outcomeOf(folder: string, { project, test }: Protection, files: readonly string[]): Promise<Outcome> {
  const pattern = test.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const output = join(folder, "result.json");
  rmSync(output, { force: true });
  const args = [
    "node_modules/vitest/vitest.mjs",
    "run",
    ...files,
    "--project",
    project,
    "-t",
    pattern,
    "--reporter=json",
    `--outputFile=${output}`,
  ];
  if (project === "e2e") cluster ??= await clusterForTraffic(console.log);
  const [program = "", ...rest] = project === "e2e" ? inNamespace([NODE, ...args]) : [NODE, ...args];
  const env = { ...process.env, CI: "true", ...cluster?.env };
  const timeout = project === "e2e" ? HANGS_MS : HANGS_MS / 10;
  const { error } = spawnSync(program, rest, { cwd: folder, stdio: "ignore", env, timeout, killSignal: "SIGKILL" });
  if ((error as NodeJS.ErrnoException | undefined)?.code === "ETIMEDOUT") {
    // What the test had started would go on beside the tests after it.
    spawnSync("pkill", ["-KILL", "-f", folder]);
    return "timed out";
  }
  const result = JSON.parse(readFileSync(output, "utf8")) as { numPassedTests: number; numFailedTests: number };
  if (result.numFailedTests > 0) return "red";
  return result.numPassedTests > 0 ? "green" : "not run";
}

const folder = copy();
let bad = 0;
const chosen = protections.filter(({ protection }) => wanted === undefined || protection.includes(wanted));
for (const one of chosen) {
  const patches = [one, ...(one.also === undefined ? [] : [one.also])];
  const before = new Map(patches.map(({ file }) => [file, readFileSync(join(folder, file), "utf8")]));
  const restore = (): void => before.forEach((text, file) => writeFileSync(join(folder, file), text));
  let outcome: string;
  try {
    for (const patch of patches) apply(folder, patch);
    const files = filesNaming(folder, one);
    outcome = await outcomeOf(folder, one, files);
    if (files.length > 0 && ["green", "not run"].includes(outcome)) outcome = await outcomeOf(folder, one, []);
    restore();
    // A test that hangs without its protection has noticed, if it is only that, and not a slow machine.
    if (outcome === "timed out" && (await outcomeOf(folder, one, files)) === "green") outcome = "red";
  } catch (error) {
    restore();
    outcome = error instanceof Error ? error.message : String(error);
  }
  if (outcome !== "red") bad++;
  console.log(`${outcome === "red" ? "ok " : "BAD"} ${one.protection}${outcome === "red" ? "" : `: ${outcome}`}`);
}
rmSync(folder, { recursive: true, force: true });
console.log(`\n${chosen.length} protections, ${bad} whose test does not notice`);
process.exitCode = bad === 0 ? 0 : 1;
