import { until } from "./data-plane.ts";
import { freePort } from "./ports.ts";
import { Program, SERVICEROUTE } from "./processes.ts";

export interface GatewayProcess {
  readonly program: Program;
  readonly port: number;
  readonly admin: number;
}

/** `serviceroute gateway` as a process beside the test, ready. */
export async function runGateway(
  paths: readonly string[],
  flags: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
  nodeFlags: readonly string[] = [],
): Promise<GatewayProcess> {
  const [port, admin] = [await freePort(), await freePort()];
  const args = [
    ...nodeFlags,
    ...SERVICEROUTE,
    "gateway",
    ...paths,
    "--bind-address",
    "127.0.0.1",
    "--http-port",
    String(port),
    "--admin-address",
    `127.0.0.1:${admin}`,
    ...flags,
  ];
  const program = new Program("gateway", process.execPath, args, { env });
  await until("ready", async () => {
    if (!program.running) throw new Error(program.output);
    return (await fetch(`http://127.0.0.1:${admin}/readyz`).catch(() => undefined))?.ok === true;
  });
  return { program, port, admin };
}
