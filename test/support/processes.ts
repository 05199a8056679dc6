import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, "../..");

/** Node's arguments for our own command line from the checkout: as shipped, and with prototypes that nothing can be added to. */
export const SERVICEROUTE = [
  "--import",
  join(ROOT, "test/support/sealed-prototypes.ts"),
  "--disable-proto=delete",
  "--disallow-code-generation-from-strings",
  join(ROOT, "src/main.ts"),
] as const;

/** A program that runs beside the test. What it prints goes to a file. */
export class Program {
  static readonly #started = new Set<Program>();
  readonly name: string;
  readonly child: ChildProcess;
  readonly exited: Promise<number>;
  #output = "";

  constructor(
    name: string,
    command: string,
    args: readonly string[],
    options: { readonly logFile?: string; readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
  ) {
    this.name = name;
    this.child = spawn(command, [...args], {
      env: { ...process.env, ...options.env },
      cwd: options.cwd,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const log = options.logFile === undefined ? undefined : createWriteStream(options.logFile, { flags: "a" });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        log?.write(chunk);
        this.#output = (this.#output + chunk.toString()).slice(-200_000);
      });
    }
    Program.#started.add(this);
    this.exited = new Promise((resolve) => {
      this.child.once("exit", (code) => {
        Program.#started.delete(this);
        resolve(code ?? -1);
      });
    });
  }

  /** Ends whatever this process has started and not stopped. */
  static async killAll(): Promise<void> {
    await Promise.all([...Program.#started].map(async (program) => program.stop("SIGKILL")));
  }

  /** The end of what was printed. */
  get output(): string {
    return this.#output;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  async stop(signal: NodeJS.Signals = "SIGTERM", withinMs = 10_000): Promise<number> {
    if (!this.running) return this.exited;
    this.child.kill(signal);
    const killer = setTimeout(() => this.child.kill("SIGKILL"), withinMs);
    const code = await this.exited;
    clearTimeout(killer);
    return code;
  }
}

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, whatever its exit code; `input` goes to its stdin. */
export async function finish(
  command: string,
  args: readonly string[],
  input = "",
  env: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  const promise = run(command, [...args], { env: { ...process.env, ...env }, maxBuffer: 64 * 1024 * 1024 });
  promise.child.stdin?.end(input);
  try {
    const { stdout, stderr } = await promise;
    return { code: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code?: number; stdout?: string; stderr?: string };
    return { code: typeof code === "number" ? code : -1, stdout: stdout ?? "", stderr: stderr ?? String(error) };
  }
}
