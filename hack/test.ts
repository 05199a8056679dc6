/**
 * Every check of the project, in order, each counted: `npm test` and `npm run check`. With `fast` only what the inner
 * loop needs; with names of suites, those.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { anyControlPlane, gatewayApiModule } from "./control-plane.ts";
import { envoyBinary } from "./envoy.ts";
import type { Provider } from "./provider.ts";
import { clusterForTraffic, inNamespace } from "./traffic.ts";
import { type Counts, countsOf } from "./vitest-counts.ts";

interface Suite {
  readonly name: string;
  /** One or several commands; each is one check unless vitest counts for it. */
  readonly commands: readonly (readonly string[])[];
  readonly vitest?: string;
  readonly prepare?: () => Promise<Provider>;
}

const node = join(import.meta.dirname, "node");
const tool = (path: string, ...args: string[]): string[] => [node, `node_modules/${path}`, ...args];
const say = (line: string): void => console.log(`# ${line}`);

async function apiServer(): Promise<Provider> {
  const provider = await anyControlPlane(say);
  say(`control plane: ${provider.description}`);
  return { ...provider, env: { ...provider.env, SERVICEROUTE_GATEWAY_API: gatewayApiModule(say) } };
}

/** Before several files of tests ask for it at once. */
async function withEnvoy(): Promise<Provider> {
  say(`Envoy: ${envoyBinary(say)}`);
  return Promise.resolve({ env: {}, description: "Envoy", stop: async () => Promise.resolve() });
}

const SUITES: readonly Suite[] = [
  { name: "generated", commands: [[node, "hack/generate.ts", "--check"]] },
  { name: "types", commands: [tool("typescript/bin/tsc", "--noEmit")] },
  {
    name: "lint",
    commands: [
      tool("eslint/bin/eslint.js", ".", "--max-warnings", "0"),
      tool("prettier/bin/prettier.cjs", "--check", "--log-level", "warn", "."),
      tool("knip/bin/knip.js", "--no-progress"),
    ],
  },
  { name: "table", commands: [], vitest: "table" },
  { name: "golden", commands: [], vitest: "golden" },
  { name: "feature", commands: [], vitest: "feature" },
  { name: "contract", commands: [], vitest: "contract", prepare: withEnvoy },
  { name: "control-plane", commands: [], vitest: "control-plane", prepare: apiServer },
  { name: "e2e", commands: [], vitest: "e2e", prepare: async () => clusterForTraffic(say) },
];
/** Run by name only: it measures and checks nothing. */
const BENCH: Suite = {
  name: "bench-cluster",
  commands: [inNamespace([node, "hack/bench-cluster.ts"])],
  prepare: async () => clusterForTraffic(say),
};
const FAST = ["types", "lint", "table", "golden", "feature"];

interface Result extends Counts {
  readonly name: string;
  readonly seconds: number;
}

async function run(command: readonly string[], env: Provider["env"]): Promise<boolean> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { stdio: "inherit", env: { ...process.env, ...env } });
  return new Promise((resolve) => {
    child.once("error", (error) => {
      console.error(`${program} cannot be run: ${error.message}`);
      resolve(false);
    });
    child.once("exit", (code) => resolve(code === 0));
  });
}

async function runVitest(project: string, env: Provider["env"]): Promise<Counts> {
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-"));
  const output = join(folder, "result.json");
  const command = tool(
    "vitest/vitest.mjs",
    "run",
    "--project",
    project,
    "--reporter=default",
    "--reporter=json",
    `--outputFile=${output}`,
  );
  const ok = await run("SERVICEROUTE_CONTROL_PLANE" in env ? inNamespace(command) : command, { CI: "true", ...env });
  try {
    const { passed, failures } = countsOf(output);
    const isUnexplained = !ok && failures.length === 0;
    return { passed, failures: isUnexplained ? ["vitest ended with an error; see above"] : failures };
  } catch (error) {
    return { passed: 0, failures: [`vitest left no result: ${String(error)}`] };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runSuite(suite: Suite): Promise<Result> {
  const started = Date.now();
  say(suite.name);
  let passed = 0;
  const failures: string[] = [];
  let provider: Provider | undefined;
  try {
    provider = await suite.prepare?.();
    const env = provider?.env ?? {};
    for (const command of suite.commands)
      if (await run(command, env)) passed++;
      else failures.push(command.slice(1).join(" "));
    if (suite.vitest !== undefined) {
      const counted = await runVitest(suite.vitest, env);
      passed += counted.passed;
      failures.push(...counted.failures);
    }
  } catch (error) {
    failures.push(error instanceof Error ? error.message : String(error));
  } finally {
    await provider?.stop();
  }
  return { name: suite.name, passed, failures, seconds: Math.round((Date.now() - started) / 1000) };
}

const named = process.argv.slice(2).flatMap((name) => (name === "fast" ? FAST : [name]));
const unknown = named.filter((name) => ![...SUITES, BENCH].some((suite) => suite.name === name));
if (unknown.length > 0) {
  const all = ["fast", ...[...SUITES, BENCH].map(({ name }) => name)];
  console.error(`no suite "${unknown.join('", "')}"; there are: ${all.join(", ")}`);
  process.exit(2);
}
const suites = named.length === 0 ? SUITES : [...SUITES, BENCH].filter(({ name }) => named.includes(name));
const results: Result[] = [];
for (const suite of suites) results.push(await runSuite(suite));

console.log("\nsuite          seconds   passed   failed");
for (const { name, passed, failures, seconds } of results)
  console.log(
    `${name.padEnd(14)} ${String(seconds).padStart(7)} ${String(passed).padStart(8)} ${String(failures.length).padStart(8)}`,
  );
// Last, where whoever reads only the end of a long log finds them.
const failures = results.flatMap((result) => result.failures.map((failure) => `FAILED ${result.name}: ${failure}`));
console.log(
  ["", ...failures, `${results.reduce((sum, { passed }) => sum + passed, 0)} passed, ${failures.length} failed`].join(
    "\n",
  ),
);
process.exitCode = failures.length === 0 ? 0 : 1;
