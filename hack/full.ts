/**
 * `npm run test:full [SUITE...]`: every test in its full size, for hours, suite by suite; what was sent and what failed
 * goes into docs/reports/full.md, a section for each suite, so that it can be run in parts.
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import { stripVTControlCharacters } from "node:util";

const ROOT = join(import.meta.dirname, "..");
const REPORT = join(ROOT, "docs/reports/full.md");
const SUITES = ["table", "golden", "feature", "contract", "control-plane", "e2e"];
const HEAD = `# Tests in full size

Written by \`npm run test:full\`, suite by suite. "0 failed of N" is requests; the last line counts tests.
`;

interface Section {
  readonly suite: string;
  readonly ok: boolean;
  readonly text: string;
}

async function runSuite(suite: string): Promise<Section> {
  const started = Date.now();
  const child = spawn(join(import.meta.dirname, "node"), [join(import.meta.dirname, "test.ts"), suite], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, SERVICEROUTE_TEST_SIZE: "full", FORCE_COLOR: "0", NO_COLOR: "1" },
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    process.stdout.write(chunk);
    output += chunk.toString();
  });
  const code = await new Promise<number>((resolve) => child.once("close", (c) => resolve(c ?? 1)));
  const lines = stripVTControlCharacters(output).split("\n");
  const said = lines.filter(
    (line) => /^# (seed|.*: .*[0-9])/.test(line) && !/^# (control plane|image tree|building)/.test(line),
  );
  const counted = lines.filter((line) => /^[0-9]+ passed, [0-9]+ failed$/.test(line));
  const commit = execFileSync("git", ["describe", "--always", "--dirty"], { cwd: ROOT, encoding: "utf8" }).trim();
  const day = new Date().toISOString().slice(0, 10);
  const minutes = Math.round((Date.now() - started) / 6000) / 10;
  const where = `${day}, commit ${commit}, Node ${process.version}, ${cpus().length} cores, ${minutes} minutes`;
  const body = [...said.map((line) => line.slice(2)), ...counted].join("\n");
  return { suite, ok: code === 0, text: `## ${suite}\n\n${where}\n\n\`\`\`text\n${body}\n\`\`\`\n` };
}

function record({ suite, text }: Section): void {
  const old = existsSync(REPORT) ? readFileSync(REPORT, "utf8") : HEAD;
  const others = old
    .split(/^(?=## )/m)
    .slice(1)
    .filter((section) => !section.startsWith(`## ${suite}\n`));
  const sections = [...others, text].map((section) => section.trim()).sort();
  mkdirSync(dirname(REPORT), { recursive: true });
  writeFileSync(REPORT, `${[HEAD.trim(), ...sections].join("\n\n")}\n`);
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((suite) => !SUITES.includes(suite));
if (unknown.length > 0) {
  console.error(`no suite "${unknown.join('", "')}"; there are: ${SUITES.join(", ")}`);
  process.exit(2);
}
for (const suite of wanted.length > 0 ? wanted : SUITES) {
  const section = await runSuite(suite);
  record(section);
  if (!section.ok) process.exitCode = 1;
}
console.log(`\nthe report: ${REPORT}`);
