#!/usr/bin/env -S node --disable-proto=delete --disallow-code-generation-from-strings
import { CommanderError } from "commander";
import { CommandError } from "./commands/exit.ts";
import { createProgram } from "./commands/program.ts";

const USAGE = 2;

/** The exit code: 0 done, 1 failed, 2 called wrongly. */
async function run(argv: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync([...argv]);
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
    if (!(error instanceof CommandError)) throw error;
    process.stderr.write(`serviceroute: ${error.message}\n`);
    return error.exitCode;
  }
}

// Whoever reads has seen enough, as `head` does.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});
process.exitCode = await run(process.argv);
