import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { envoyBinary } from "../../hack/envoy.ts";

const binary = envoyBinary(console.log);

/** A real Envoy, which ends with the test. */
export class Envoy {
  readonly #child: ChildProcess;
  readonly #folder: string;
  output = "";

  constructor(config: object, args: readonly string[] = []) {
    this.#folder = mkdtempSync(join(tmpdir(), "serviceroute-envoy-"));
    const file = join(this.#folder, "envoy.json");
    writeFileSync(file, JSON.stringify(config));
    const all = [
      "-c",
      file,
      "--use-dynamic-base-id",
      // As docs/deploy.md says that it is to be started.
      "--drain-strategy",
      "immediate",
      "--concurrency",
      "1",
      "-l",
      process.env["ENVOY_LOG"] ?? "warn",
      ...args,
    ];
    this.#child = spawn(binary, all, { stdio: ["ignore", "ignore", "pipe"] });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.output += text));
  }

  /** Reads and answers nothing more until it is stopped. */
  pause(): void {
    this.#child.kill("SIGSTOP");
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill("SIGKILL");
      await once(this.#child, "exit");
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
