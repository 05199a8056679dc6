import { readFileSync } from "node:fs";
import { relative } from "node:path";

/** What vitest's `json` reporter writes, of it what is read here. */
interface Report {
  readonly numPassedTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages: readonly string[] | null;
    }[];
  }[];
}

export interface Counts {
  readonly passed: number;
  /** A line or a few of each check that did not pass: its file and name, and why. */
  readonly failures: readonly string[];
}

const LINES_OF_A_FAILURE = 12;

function failure(file: string, name: string, why: string): string {
  const lines = why.trim().split("\n");
  const ours = lines.filter((line) => !/^\s+at .*(?:node_modules|node:|<anonymous>)/.test(line));
  return [`${relative(".", file)}: ${name}`, ...ours.slice(0, LINES_OF_A_FAILURE)].join("\n    ");
}

/** Whatever did not pass has failed: skipped and unwritten tests too, and files that could not be read. */
export function countsOf(path: string): Counts {
  const { numPassedTests, testResults } = JSON.parse(readFileSync(path, "utf8")) as Report;
  const failures = testResults.flatMap(({ name: file, status, message, assertionResults }) => {
    const tests = assertionResults
      .filter((one) => one.status !== "passed")
      .map((one) => failure(file, one.fullName, one.failureMessages?.join("\n") || one.status));
    return tests.length === 0 && status !== "passed" ? [failure(file, "as a whole", message)] : tests;
  });
  return { passed: numPassedTests, failures };
}
