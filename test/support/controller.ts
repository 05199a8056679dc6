import { join } from "node:path";
import type { Cluster } from "./cluster.ts";
import { until } from "./data-plane.ts";
import { Program, SERVICEROUTE, finish, type Finished } from "./processes.ts";

/** Our own command line, from the checkout. */
export async function serviceroute(args: readonly string[], input = ""): Promise<Finished> {
  return finish(process.execPath, [...SERVICEROUTE, ...args], input);
}

let admins = 19_000;

/** `serviceroute controller` as a process beside the test. */
export class ControllerProcess {
  readonly admin: string;
  readonly program: Program;

  /** @param program  What to run instead of the checkout: Node and its arguments. */
  constructor(
    cluster: Cluster,
    flags: readonly string[],
    kubeconfig = cluster.kubeconfig,
    [node, ...program]: readonly [string, ...string[]] = [process.execPath, ...SERVICEROUTE],
  ) {
    const address = `127.0.0.1:${admins++}`;
    this.admin = `http://${address}`;
    const args = [
      ...program,
      "controller",
      "--kubeconfig",
      kubeconfig,
      "--admin-address",
      address,
      "--reason-header",
      "--drain-timeout",
      "5",
      ...flags,
    ];
    this.program = new Program("controller", node, args, {
      logFile: join(cluster.folder, `controller-${address}.log`),
    });
  }

  async ready(withinMs = 30_000): Promise<this> {
    await until(
      "the controller is ready",
      async () => {
        if (!this.program.running) throw new Error(`the controller has ended: ${this.program.output}`);
        const reply = await fetch(`${this.admin}/readyz`).catch(() => undefined);
        return reply?.ok === true;
      },
      withinMs,
    );
    return this;
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
    return this.program.stop(signal);
  }
}
