import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";

/** What programs are given to print into: shells and container runtimes give pipes, Node and systemd sockets. */
export const STDOUTS = ["a pipe", "a socket"] as const;
export type StdoutKind = (typeof STDOUTS)[number];

export interface Printing {
  readonly child: ChildProcess;
  /** What it says on stderr so far. */
  readonly told: () => string;
  /** Begins to read what it prints. */
  readonly read: () => Readable;
  /** Nobody will ever read. */
  readonly leave: () => void;
  readonly stop: () => void;
}

/** A program whose stdout nobody reads yet. */
export function startPrinting(kind: StdoutKind, args: readonly string[]): Printing {
  return kind === "a pipe" ? intoPipe(args) : intoSocket(args);
}

function listenTo(child: ChildProcess): () => string {
  let text = "";
  child.stderr?.on("data", (chunk: Buffer) => (text += chunk.toString()));
  return () => text;
}

function intoSocket(args: readonly string[]): Printing {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  return {
    child,
    told: listenTo(child),
    read: () => child.stdout,
    leave: () => child.stdout.destroy(),
    stop: () => child.kill("SIGKILL"),
  };
}

function intoPipe(args: readonly string[]): Printing {
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-pipe-"));
  const path = join(folder, "pipe");
  execFileSync("mkfifo", [path]);
  const reading = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writing = openSync(path, constants.O_WRONLY);
  const child = spawn(process.execPath, args, { stdio: ["ignore", writing, "pipe"] });
  closeSync(writing);
  rmSync(folder, { recursive: true });
  let close = (): unknown => closeSync(reading);
  return {
    child,
    told: listenTo(child),
    read: () => {
      const socket = new Socket({ fd: reading, readable: true, writable: false });
      close = () => socket.destroy();
      return socket;
    },
    leave: () => {
      close();
      close = () => undefined;
    },
    stop: () => {
      child.kill("SIGKILL");
      close();
    },
  };
}
