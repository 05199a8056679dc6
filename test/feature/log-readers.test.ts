import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { until } from "../support/data-plane.ts";
import { freePort } from "../support/ports.ts";
import { routeYaml } from "../support/objects.ts";
import { SERVICEROUTE } from "../support/processes.ts";
import { type Printing, STDOUTS, type StdoutKind, startPrinting } from "../support/readers.ts";

const SRC = join(import.meta.dirname, "../../src");
const folder = mkdtempSync(join(tmpdir(), "serviceroute-log-"));
const cleanups: (() => unknown)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const RULES = "rules: [{filters: [{type: DirectResponse, directResponse: {statusCode: 200, body: hi}}]}]";

function print(kind: StdoutKind, args: readonly string[]): Printing {
  const printing = startPrinting(kind, args);
  cleanups.push(printing.stop);
  return printing;
}

/** A program with `log`, and `dropped`, which counts. */
const logging = (kind: StdoutKind, script: string): Printing =>
  print(kind, [
    "--input-type=module",
    "-e",
    `process.stdout.on("error", () => undefined); // As commands do.
    const { createLogger, openStdout } = await import(${JSON.stringify(join(SRC, "telemetry/logger.ts"))});
    let dropped = 0;
    const log = createLogger("info", openStdout({ dropped: () => dropped++ }));
    const tell = (what) => process.stderr.write(JSON.stringify(what));
    const sleep = async (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    ${script}`,
  ]);

/** @param workers  0: it serves in its own process. */
async function gateway(
  workers = 0,
): Promise<{ readonly args: readonly string[]; readonly get: () => Promise<string> }> {
  const file = join(folder, "direct.yaml");
  writeFileSync(file, routeYaml("direct", RULES));
  const port = await freePort();
  const args = [...SERVICEROUTE, "gateway", file, "--bind-address", "127.0.0.1", "--http-port", `${port}`];
  const get = async (): Promise<string> =>
    fetch(`http://127.0.0.1:${port}/${"x".repeat(900)}`).then(
      async (answer) => answer.text(),
      () => "",
    );
  const flags = ["--admin-address", "off", "--access-log", "--drain-timeout", "1s", "--gateway-workers", `${workers}`];
  return { args: [...args, ...flags], get };
}

/** Serves many times more than a pipe or socket holds. */
async function serve(get: () => Promise<string>): Promise<void> {
  await until("it serves", async () => (await get()) === "hi");
  for (let i = 0; i < 1000; i++) expect(await get()).toBe("hi");
}

test("F54: a disk that is full keeps it neither from serving nor from ending", async () => {
  const full = openSync("/dev/full", "w");
  const { args, get } = await gateway();
  const child = spawn(process.execPath, args, { stdio: ["ignore", full, "pipe"] });
  closeSync(full);
  cleanups.push(() => child.kill("SIGKILL"));
  let problems = "";
  child.stderr?.on("data", (chunk: Buffer) => (problems += chunk.toString()));
  await serve(get);
  child.kill("SIGTERM");
  const [code] = (await once(child, "exit", { signal: AbortSignal.timeout(8000) })) as [number];
  expect([code, problems]).toEqual([0, ""]);
});

describe.for(STDOUTS)("into %s", (kind) => {
  test.for([0, 2])(
    "F54: a reader who has stopped keeps it neither from serving nor from ending, with %d workers",
    async (workers) => {
      const { args, get } = await gateway(workers);
      const { child, told } = print(kind, args);
      await serve(get);
      child.kill("SIGTERM");
      const [code] = (await once(child, "exit", { signal: AbortSignal.timeout(8000) })) as [number];
      expect([code, told()]).toEqual([0, ""]);
    },
  );

  test.for([0, 2])("F54: nor from ending at once, when it is told to twice, with %d workers", async (workers) => {
    const { args, get } = await gateway(workers);
    const { child, told } = print(kind, args);
    await serve(get);
    child.kill("SIGTERM");
    // What is said of the first signal has not been written yet.
    await sleep(20);
    child.kill("SIGTERM");
    const [code] = (await once(child, "exit", { signal: AbortSignal.timeout(4000) })) as [number];
    expect([code, told()]).toEqual([1, ""]);
  });

  test("F54: a reader of the log that has stopped holds up nothing; lines that are lost are counted", async () => {
    const { told } = logging(
      kind,
      `for (let i = 0; i < 100; i++) {
        for (let j = 0; j < 1000; j++) log.info({ filler: "x".repeat(300) }, "line");
        await new Promise(setImmediate);
      }
      tell({ dropped });
      setInterval(() => undefined, 1000);`,
    );
    await until("30 MB are logged to nobody", () => told().endsWith("}"), 20_000);
    const { dropped } = JSON.parse(told()) as { dropped: number };
    expect(dropped).toBeGreaterThan(50_000);
    expect(dropped).toBeLessThan(100_000);
  });

  test("F54: for a reader who has gone every line counts as lost, those that wait for it included", async () => {
    const { child, told, leave } = logging(
      kind,
      `log.info("one");
      await sleep(1000);
      const first = dropped;
      for (let i = 0; i < 10; i++) log.info("more");
      tell([first, dropped]);`,
    );
    leave();
    await once(child, "exit", { signal: AbortSignal.timeout(20_000) });
    expect(told()).toBe("[1,11]");
  });

  test("F54: while nothing is logged nothing is written", async () => {
    const { child, told, read } = logging(
      kind,
      `const fs = (await import("node:fs")).default;
      let writes = 0;
      for (const name of ["write", "writeSync"]) {
        const write = fs[name];
        fs[name] = (fd, ...rest) => (writes++, write(fd, ...rest));
      }
      (await import("node:module")).syncBuiltinESMExports();
      const seen = [];
      for (const lines of [0, 1, 0]) {
        for (let i = 0; i < lines; i++) log.info("line");
        await sleep(500);
        seen.push(writes);
      }
      tell(seen);`,
    );
    read().resume();
    await once(child, "exit", { signal: AbortSignal.timeout(20_000) });
    expect(told()).toBe("[0,1,1]");
  });

  test("F54: what has waited for a slow reader is written to the end without another line", async () => {
    const { told, read } = logging(
      kind,
      `for (let i = 0; i <= 10_000; i++) log.info({ filler: "x".repeat(100) }, "line " + i);
      await sleep(500);
      tell("waits");
      setInterval(() => undefined, 1000);`,
    );
    await until("it waits", () => told() !== "");
    let said = "";
    read().on("data", (chunk: Buffer) => (said += chunk.toString()));
    await until("the last line is there", () => said.includes('"line 10000"'));
  });

  test("F54: what a full pipe has refused is written when the process ends, and nothing of it left out", async () => {
    const { child, told, read } = logging(
      kind,
      `for (let i = 0; i < 3000; i++) log.info({ filler: "é".repeat(100) }, "line " + i);
      await sleep(200);
      process.prependOnceListener("exit", () => process.stderr.write("ends"));
      setTimeout(() => process.exit(), 100);`,
    );
    await until("it ends", () => told() === "ends");
    await sleep(100);
    let said = "";
    const stream = read().setEncoding("utf8");
    stream.on("data", (chunk: string) => (said += chunk));
    await Promise.all([once(stream, "end", { signal: AbortSignal.timeout(10_000) }), once(child, "exit")]);
    const lines = said.trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(
      Array.from({ length: 3000 }, (_, i) => `line ${i}`),
    );
  });

  test("F54: a process that crashes while it writes tears no line", async () => {
    const { child, read } = logging(
      kind,
      `for (let i = 0; i < 1000; i++) log.info({ filler: "x".repeat(1000) }, "line");
      setTimeout(() => {
        for (let i = 0; i < 10; i++) log.info("last words");
        throw new Error("crash");
      }, 120);`,
    );
    await sleep(500);
    let said = "";
    const stream = read().setEncoding("utf8");
    stream.on("data", (chunk: string) => (said += chunk));
    await Promise.all([
      once(stream, "end", { signal: AbortSignal.timeout(10_000) }),
      child.exitCode ?? once(child, "exit"),
    ]);
    const lines = said.split("\n").slice(0, -1);
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ level: "info" });
    expect(lines.length).toBeGreaterThan(20);
  });

  test("F54: a busy process loses no line to a reader who keeps up", async () => {
    const { child, told, read } = logging(
      kind,
      `for (let turn = 0; turn < 300; turn++) {
        for (let i = 0; i < 50; i++) {
          for (const until = performance.now() + 0.1; performance.now() < until; );
          log.info({ filler: "x".repeat(600) }, "line");
        }
        await new Promise(setImmediate);
      }
      tell({ dropped });`,
    );
    let lines = 0;
    read().on("data", (chunk: Buffer) => (lines += chunk.filter((byte) => byte === 0x0a).length));
    await once(child, "close", { signal: AbortSignal.timeout(30_000) });
    expect(told()).toBe('{"dropped":0}');
    await until("all lines are there", () => lines === 15_000);
  });
});
