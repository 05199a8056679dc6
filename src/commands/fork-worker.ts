import { fork } from "node:child_process";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { FromWorker, WorkerEvents, WorkerProcess } from "../workers/messages.ts";
import type { WorkerSettings } from "./worker-settings.ts";

/** Beside this file in a checkout, beside the program in a build. */
const ENTRY = fileURLToPath(new URL(`./gateway-worker${extname(import.meta.url)}`, import.meta.url));
const HEAP_SHARE = /^(--max-old-space-size-percentage)=([0-9]+)$/;

/** As this process was started; a heap that was said as a share of the memory is one for all processes together. */
export const argumentsFor = (workers: number, given: readonly string[]): string[] =>
  given.map((argument) =>
    argument.replace(
      HEAP_SHARE,
      (_, name: string, percent: string) => `${name}=${Math.max(Math.floor(Number(percent) / (workers + 1)), 1)}`,
    ),
  );

const running = new Set<() => void>();
/** A second signal ends this process at once; a worker that hangs would not notice. */
const killAll = (): void => running.forEach((kill) => kill());

/** Starts a worker over a channel that nobody else has. */
export function forkWorker(settings: WorkerSettings, events: WorkerEvents): WorkerProcess {
  const child = fork(ENTRY, [], {
    serialization: "advanced",
    execArgv: argumentsFor(settings.workers, process.execArgv),
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const send = (message: object): void => {
    // What cannot be sent is for a process that has ended, which is told by itself.
    if (child.connected) child.send(message, undefined, undefined, () => undefined);
  };
  const kill = (): void => void child.kill("SIGKILL");
  if (running.size === 0) process.once("exit", killAll);
  running.add(kill);
  child.once("exit", () => {
    running.delete(kill);
    if (running.size === 0) process.off("exit", killAll);
  });
  child.on("message", (message) => events.said(message as FromWorker));
  child.once("error", (error) => events.ended(error.message));
  child.once("exit", (code, signal) => events.ended(signal ?? `exit code ${code}`));
  send(settings);
  return { send, kill };
}
