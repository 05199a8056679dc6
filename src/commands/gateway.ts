import { setTimeout } from "node:timers/promises";
import { Command } from "commander";
import { FilesSource } from "../sources/files/files-source.ts";
import { readStdin } from "../sources/files/folder.ts";
import { createLogger, openStdout } from "../telemetry/logger.ts";
import { Metrics } from "../telemetry/metrics.ts";
import { gatewayFor } from "./data-plane.ts";
import { openEndpoints } from "./endpoints.ts";
import { StatusBook } from "../status/status-book.ts";
import { type Engine, createEngine, followTime } from "./engine.ts";
import { CommandError } from "./exit.ts";
import { type GatewayFlags, addGatewayFlags, translateOptions } from "./gateway-flags.ts";
import { servingWarning } from "./serving-flags.ts";
import { Readiness } from "./readiness.ts";
import { stopSignal } from "./stop-signal.ts";
import { leave } from "./leave.ts";

/** Serves folders of manifests until `signal` aborts, then drains. */
export async function runGateway(paths: readonly string[], flags: GatewayFlags, signal: AbortSignal): Promise<void> {
  const metrics = new Metrics();
  const stdout = openStdout({ dropped: () => metrics.requests.logLineDropped(), isShared: flags.gatewayWorkers > 0 });
  const log = createLogger(flags.logLevel, stdout);
  const { gateway, proxies, start, close } = await gatewayFor(flags, { log, stdout, metrics });
  const warning = servingWarning(flags);
  if (warning !== undefined) log.warn(warning);
  const options = translateOptions(flags, {
    builtin: flags.builtinGateway ?? true,
    classByName: true,
    allowLoopback: true,
  });
  const book: StatusBook = new StatusBook(
    () => engine.controller,
    () => new Date().toISOString(),
  );
  const engine: Engine = createEngine({
    options,
    gateway,
    proxies,
    log,
    metrics,
    replicas: false,
    sink: book,
  });
  const stdin = await readStdin(paths);
  const source = new FilesSource(paths, stdin, engine.store, log, () => engine.controller.changed());
  try {
    source.readOnce();
  } catch (error) {
    throw new CommandError(
      `cannot read ${(error as NodeJS.ErrnoException).path ?? paths.join(", ")}: ${(error as Error).message}`,
    );
  }
  const readiness = new Readiness();
  let stopping = false;
  const endpoints = await openEndpoints({ engineOf: () => engine, statusOf: (key) => book.get(key) }, flags, metrics, {
    notReady: () => (stopping ? "shutting down" : readiness.problem(engine)),
  });
  followTime(engine, signal);
  await start();
  engine.controller.open();
  try {
    await bound(engine, readiness, signal);
    const { routes, listeners } = engine.translator.table;
    if (!signal.aborted) log.info({ paths, routes: routes.size, listeners: [...listeners.keys()] }, "serving");
    await source.start(signal);
    log.info({ limitSeconds: flags.drainTimeout }, "draining");
  } finally {
    stopping = true;
    await engine.gateway.drain(flags.drainTimeout * 1000);
    await Promise.all([close(), ...endpoints.map((endpoint) => endpoint.close())]);
    leave();
  }
}

const LOOK_MS = 10;

/** Of several listeners one may wait for its port (F52); a gateway that can serve nobody at its start is told so and ends. */
async function bound(engine: Engine, readiness: Readiness, signal: AbortSignal): Promise<void> {
  if (engine.gateway.isRemote === true) return;
  const isStarting = (): boolean => engine.gateway.problem() !== "" || engine.listeners.waiting().length > 0;
  while (isStarting() && !signal.aborted) await setTimeout(LOOK_MS);
  const problem = readiness.problem(engine);
  if (problem !== "" && !signal.aborted)
    throw new CommandError(`${problem}; choose other ports with --http-port and --https-port, or in the Gateway`);
}

export function gatewayCommand(): Command {
  const command = new Command("gateway")
    .summary("serve a folder of manifests, without a cluster")
    .description(
      "Serves ServiceRoutes, Gateways, Services and EndpointSlices out of folders and files, whose changes it follows, or out of - (stdin), which it reads to its end.",
    )
    .argument("<path...>", "folders, files, or - for stdin");
  addGatewayFlags(command, { metricsAddress: "off", builtin: "on" });
  return command.action(async (paths: string[], flags: GatewayFlags) => runGateway(paths, flags, stopSignal()));
}
