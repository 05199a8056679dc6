/**
 * `npm run test:mutation -- [--changed|--report] [FOLDER|FILE...]`: changes the code in small ways and counts the changes that no
 * test notices. Takes two hours for `routing translate status`; the report of each folder goes into docs/reports, that
 * of a file to the terminal. With `--changed` what was noticed before by a test that is still the same, in code that is
 * still the same, is not tried again; with `--report` nothing is, and the last run is told anew, with the reasons of now.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const ROOT = join(import.meta.dirname, "..");
const TOOL = join(import.meta.dirname, "mutation");
const REPORTS = join(ROOT, "docs/reports");

/** Why no test notices some changes: the first that fits. Whatever is left out fits all. */
interface Reason {
  readonly reason: string;
  /** Ends of the names of files. */
  readonly files?: readonly string[];
  readonly mutators?: readonly string[];
  /** Parts of the line that is changed. */
  readonly lines?: readonly string[];
  /** Regular expressions for what it is changed to. */
  readonly replacements?: readonly string[];
}
const REASONS = JSON.parse(readFileSync(join(TOOL, "reasons.json"), "utf8")) as readonly Reason[];
const NO_REASON = "No reason known: a test is missing";
const { values, positionals } = parseArgs({
  options: { changed: { type: "boolean" }, report: { type: "boolean" } },
  allowPositionals: true,
});
const onlyChanged = values.changed ?? false;
/** Below src. */
const places = positionals.length > 0 ? positionals : ["routing", "translate", "status"];

interface Mutant {
  readonly status: "Killed" | "Timeout" | "Survived" | "NoCoverage" | "Ignored" | "CompileError" | "RuntimeError";
  readonly mutatorName: string;
  readonly replacement?: string;
  readonly location: { readonly start: { readonly line: number } };
}
interface Result {
  readonly files: Readonly<Record<string, { readonly source: string; readonly mutants: readonly Mutant[] }>>;
}

/** What is known of the last run of a place, for the next one. */
const lastFile = (place: string): string => join(TOOL, ".last", `${place.replaceAll("/", "-")}.json`);
const howFile = (place: string): string => `${lastFile(place)}.how`;

function run(place: string): void {
  const commit = execFileSync("git", ["describe", "--always", "--dirty"], { cwd: ROOT, encoding: "utf8" }).trim();
  const flags = onlyChanged ? "--changed " : "";
  const day = new Date().toISOString().slice(0, 10);
  const how = `${day}, commit ${commit}, Node ${process.version}; \`npm run test:mutation -- ${flags}${place}\``;
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-mutation-"));
  const config = join(folder, "config.json");
  const options = {
    testRunner: "vitest",
    plugins: [join(TOOL, "node_modules/@stryker-mutator/vitest-runner/dist/src/index.js")],
    // Which tests to run is known by their coverage; to ask for related files as well takes longer than the tests.
    vitest: { configFile: join(TOOL, "vitest.config.ts"), related: false },
    mutate: [place.endsWith(".ts") ? `src/${place}` : `src/${place}/**/*.ts`],
    coverageAnalysis: "perTest",
    ignoreStatic: true,
    concurrency: 2,
    reporters: ["progress-append-only"],
    tempDirName: join(folder, "sandbox"),
    incremental: true,
    incrementalFile: lastFile(place),
    force: !onlyChanged,
    allowEmpty: false,
  };
  writeFileSync(config, JSON.stringify(options));
  execFileSync("npm", ["ci", "--ignore-scripts", "--silent"], { cwd: TOOL, stdio: "inherit" });
  const stryker = join(TOOL, "node_modules/@stryker-mutator/core/bin/stryker.js");
  const { status } = spawnSync(process.execPath, [stryker, "run", config], { cwd: ROOT, stdio: "inherit" });
  if (status !== 0) throw new Error("the run did not end; the lines above say why");
  rmSync(folder, { recursive: true, force: true });
  writeFileSync(howFile(place), how);
}

const counted = (mutants: readonly Mutant[], ...states: Mutant["status"][]): number =>
  mutants.filter(({ status }) => states.includes(status)).length;

function reasonOf(file: string, line: string, { mutatorName, replacement = "" }: Mutant): string {
  const fits = (wanted: readonly string[] | undefined, test: (one: string) => boolean): boolean =>
    wanted === undefined || wanted.some(test);
  const found = REASONS.find(
    ({ files, mutators, lines, replacements }) =>
      fits(files, (end) => file.endsWith(end)) &&
      fits(mutators, (name) => name === mutatorName) &&
      fits(lines, (part) => line.includes(part)) &&
      fits(replacements, (pattern) => new RegExp(pattern, "s").test(replacement)),
  );
  return found?.reason ?? NO_REASON;
}

const shown = ({ replacement = "" }: Mutant): string =>
  replacement.replaceAll(/\s+/g, " ").replaceAll("`", "'").slice(0, 60);

function row(name: string, mutants: readonly Mutant[]): string {
  const [noticed, survived, uncovered] = [
    counted(mutants, "Killed", "Timeout"),
    counted(mutants, "Survived"),
    counted(mutants, "NoCoverage"),
  ];
  const score = (100 * noticed) / Math.max(1, noticed + survived + uncovered);
  return `| ${name} | ${score.toFixed(1)} | ${noticed} | ${survived} | ${uncovered} |`;
}

function reportOf(place: string, { files }: Result): string {
  const named = Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1));
  const survivors = named.flatMap(([file, { source, mutants }]) => {
    const lines = source.split("\n");
    return mutants
      .filter(({ status }) => status === "Survived" || status === "NoCoverage")
      .map((mutant) => {
        const { line } = mutant.location.start;
        const text = `${file}:${line} ${mutant.mutatorName} → \`${shown(mutant)}\``;
        return { reason: reasonOf(file, lines[line - 1] ?? "", mutant), text };
      });
  });
  const byReason = Object.entries(Object.groupBy(survivors, ({ reason }) => reason)).sort(
    ([a, x = []], [b, y = []]) => Number(a === NO_REASON) - Number(b === NO_REASON) || y.length - x.length,
  );
  const all = named.flatMap(([, { mutants }]) => mutants);
  return `# Mutation run: ${place}

${readFileSync(howFile(place), "utf8")}. The score counts what no test runs as
unnoticed; values that are made once, when a module is loaded, are left out.

| file | score % | noticed | survived | not run |
|---|---|---|---|---|
${[row("all", all), ...named.map(([file, { mutants }]) => row(file, mutants))].join("\n")}

## Not noticed

${byReason.map(([reason, ones = []]) => `### ${reason}\n\n${ones.map(({ text }) => `- ${text}`).join("\n")}`).join("\n\n")}
`;
}

for (const place of places) {
  if (values.report !== true) run(place);
  const report = reportOf(place, JSON.parse(readFileSync(lastFile(place), "utf8")) as Result);
  if (place.endsWith(".ts")) {
    console.log(report);
    continue;
  }
  const file = join(REPORTS, `mutation-${place}.md`);
  mkdirSync(REPORTS, { recursive: true });
  writeFileSync(file, report);
  console.log(`the report: ${file}`);
}
