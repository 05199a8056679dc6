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

  readonly #adminPort: number;

  constructor(config: object, adminPort: number) {
    this.#adminPort = adminPort;
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
    ];
    this.#child = spawn(binary, all, { stdio: ["ignore", "ignore", "pipe"] });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.output += text));
  }

  /** Reads and answers nothing more until it is stopped. */
  pause(): void {
    this.#child.kill("SIGSTOP");
  }

  /** What its admin endpoint answers. */
  async admin(path: string): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.#adminPort}${path}`)).text();
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
