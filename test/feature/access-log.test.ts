import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Backend } from "../support/backend.ts";
import { send, until } from "../support/data-plane.ts";
import { cleanups } from "../support/gateway-rig.ts";
import { runGateway } from "../support/gateway-process.ts";
import { askHttp2, openHttp2 } from "../support/http2.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

type Line = Readonly<Record<string, unknown>>;

/** A gateway as a process, and the lines of its access log so far. */
async function logging(flags: readonly string[]): Promise<{ port: number; web: Backend; lines: () => Line[] }> {
  const web = await new Backend("web").start();
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-access-"));
  const rules =
    "hostnames: [a.example.com]\nrules: [{name: all, backendRefs: [{name: web, port: 80}]}, {name: none, matches: [{path: {value: /none}}]}]";
  writeFileSync(join(folder, "all.yaml"), serviceYaml("web", [web.port]) + routeYaml("r", rules));
  const { program, port } = await runGateway([folder], ["--http2", "on", ...flags]);
  cleanups.push(
    async () => web.stop(),
    async () => Promise.resolve(rmSync(folder, { recursive: true })),
    async () => program.stop("SIGTERM"),
  );
  const lines = (): Line[] =>
    program.output
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Line)
      .filter(({ type }) => type === "access");
  return { port, web, lines };
}

describe("the access log", () => {
  test("says of each request who asked, what served it and how it went", async () => {
    const { port, web, lines } = await logging(["--access-log"]);
    await send(port, "/p?secret=1", {
      method: "POST",
      body: "hello",
      headers: { "user-agent": "test", "x-request-id": "id-1" },
    });
    await send(port, "/none/x");
    await send(port, "/", { host: "other.example.com" });
    const session = await openHttp2(`http://127.0.0.1:${port}`);
    await askHttp2(session, "/two");
    session.destroy();
    await until("all are there", () => lines().length === 4);
    const [served, failed, unknown, two] = lines();
    expect(served).toMatchObject({
      protocol: "HTTP/1.1",
      method: "POST",
      authority: "a.example.com",
      path: "/p",
      status: 200,
      bytesIn: 5,
      bytesOut: 3,
      client: "127.0.0.1",
      listener: `127.0.0.1:${port}`,
      userAgent: "test",
      requestId: "id-1",
      route: "default/r",
      rule: "all",
      backend: "default/web:80",
      endpoint: `127.0.0.1:${web.port}`,
      tries: 1,
    });
    expect(served?.["reason"]).toBeUndefined();
    expect(Number(served?.["durationMs"])).toBeGreaterThan(0);
    expect(failed).toMatchObject({ status: 500, reason: "NoBackends", rule: "none" });
    expect(unknown).toMatchObject({ status: 404, reason: "NoRoute", bytesOut: 8, authority: "other.example.com" });
    expect(two).toMatchObject({ protocol: "HTTP/2.0", path: "/two", status: 200 });
    expect(JSON.stringify(lines())).not.toContain("secret");
  });

  test("a target that is refused is logged without what may hold a credential", async () => {
    const { port, lines } = await logging(["--access-log"]);
    const targets = ["http://user:hunter2@a.example.com/x?hunter2", "/cb#hunter2", "user:hunter2@a", "/a?hunter2"];
    for (const target of targets) {
      const socket = connect(port, "127.0.0.1");
      socket.end(`GET ${target} HTTP/1.1\r\nhost: a.example.com\r\nconnection: close\r\n\r\n`);
      socket.on("error", () => undefined).resume();
      await new Promise((resolve) => socket.once("close", resolve));
    }
    await until("all are there", () => lines().length === 4);
    expect(lines().map(({ path }) => path)).toEqual(["/x", "/cb", "", "/a"]);
    expect(JSON.stringify(lines())).not.toContain("hunter2");
  });

  test("B56: whatever a client sends, each request is one line of JSON without a command for a terminal", async () => {
    const { port, lines } = await logging(["--access-log"]);
    const hostile = [
      '"}\\n{"type":"access"',
      "\u001b[2J",
      "\u009b2J",
      "\u202etxt.exe",
      "a\tb",
      "{{7*7}}",
      "x".repeat(9000),
    ];
    for (const text of hostile) {
      const socket = connect(port, "127.0.0.1");
      const bytes = Buffer.from(text, "utf8");
      socket.end(
        Buffer.concat([
          Buffer.from("GET /a HTTP/1.1\r\nhost: a.example.com\r\nconnection: close\r\nuser-agent: "),
          bytes,
          Buffer.from("\r\n\r\n"),
        ]),
      );
      socket.on("error", () => undefined).resume();
      await new Promise((resolve) => socket.once("close", resolve));
    }
    await until("all are there", () => lines().length === hostile.length);
    // ESC is no header value: those bytes are no request.
    expect(lines().find(({ protocol }) => protocol === "")).toMatchObject({
      status: 400,
      reason: "BadRequest",
      path: "",
      client: "127.0.0.1",
    });
    for (const line of lines()) {
      const text = Object.values(line).join(" ");
      expect(text).not.toMatch(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
      expect(text.length).toBeLessThan(4000);
    }
  });

  test("a sample leaves out what went well, never what failed; without the flag there is none", async () => {
    const { port, lines } = await logging(["--access-log", "--access-log-sample", "0"]);
    for (let i = 0; i < 20; i++) await send(port, "/");
    await send(port, "/none");
    await until("the failure is there", () => lines().length > 0);
    expect(lines().map(({ reason }) => reason)).toEqual(["NoBackends"]);
    const silent = await logging([]);
    await send(silent.port, "/none");
    expect(silent.lines()).toEqual([]);
  });
});
