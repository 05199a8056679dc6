import { Option } from "commander";
import { createProgram } from "../../src/commands/program.ts";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { Backend, startRaw } from "../support/backend.ts";
import { serviceroute } from "../support/controller.ts";
import { send, until } from "../support/data-plane.ts";
import { freePort } from "../support/ports.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";
import { type GatewayProcess, runGateway } from "../support/gateway-process.ts";
import { SERVICEROUTE, finish } from "../support/processes.ts";
import { listening } from "../support/sockets.ts";

const ROOT = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "serviceroute-commands-"));
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

async function startGateway(
  paths: readonly string[],
  flags: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<GatewayProcess> {
  const started = await runGateway(paths, flags, env);
  cleanups.push(async () => started.program.stop());
  return started;
}

test("F44: a gateway that can bind none of its ports says which, and what to do, and ends", async () => {
  const port = await freePort();
  const taken = createServer().listen(port, "127.0.0.1");
  cleanups.push(async () => new Promise((resolve) => taken.close(resolve)));
  const flags = [
    "--bind-address",
    "127.0.0.1",
    "--http-port",
    `${port}`,
    "--admin-address",
    "off",
    "--log-level",
    "fatal",
  ];
  const { stderr, code } = await finish(process.execPath, [...SERVICEROUTE, "gateway", folder, ...flags]);
  expect([code, stderr]).toEqual([
    1,
    `serviceroute: no listener can be served: port ${port} of 127.0.0.1 cannot be bound: is in use; choose other ports with --http-port and --https-port, or in the Gateway\n`,
  ]);
});

test("stdin may come late and in pieces", async () => {
  const text = serviceYaml("web", [9001]) + routeYaml("r", "rules: [{backendRefs: [{name: web, port: 80}]}]");
  const child = spawn(process.execPath, [...SERVICEROUTE, "validate", "-"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  for (const piece of [text.slice(0, 100), text.slice(100)]) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    child.stdin.write(piece);
  }
  child.stdin.end();
  expect(await new Promise((resolve) => child.once("exit", resolve))).toBe(0);
  expect(said).toContain("3 objects, 0 problems");
});

test("whoever reads may stop reading", async () => {
  const { stderr, code } = await finish("sh", [
    "-c",
    `"${process.execPath}" "${join(ROOT, "src/main.ts")}" render "${join(ROOT, "manifests/samples")}" | head -1`,
  ]);
  expect([code, stderr]).toEqual([0, ""]);
});

test("a link that leads back up is followed once", async () => {
  const loop = mkdtempSync(join(folder, "loop-"));
  writeFileSync(join(loop, "web.yaml"), serviceYaml("web", [9001]));
  symlinkSync(".", join(loop, "again"));
  expect((await serviceroute(["validate", loop])).stdout).toContain("2 objects, 0 problems");
});

test("a flag without a value is true or false in the environment", async () => {
  const at = async (value: string): Promise<string[]> => {
    const { admin } = await startGateway([folder], [], { SERVICEROUTE_BUILTIN_GATEWAY: value });
    const { items } = (await (await fetch(`http://127.0.0.1:${admin}/v1/gateways`)).json()) as {
      items: { kind: string }[];
    };
    return items.map(({ kind }) => kind);
  };
  expect([await at("false"), await at("0"), await at("true")]).toEqual([[], [], ["BuiltinGateway"]]);
  const wrong = await finish("env", [
    "SERVICEROUTE_BUILTIN_GATEWAY=perhaps",
    process.execPath,
    ...SERVICEROUTE,
    "gateway",
    folder,
  ]);
  expect([wrong.code, wrong.stderr]).toEqual([
    2,
    'serviceroute: SERVICEROUTE_BUILTIN_GATEWAY is true or false, not "perhaps"\n',
  ]);
});

describe("calling it wrongly", () => {
  test.for<[string, string[], number, RegExp]>([
    ["F44: an unknown flag", ["gateway", "x", "--colour"], 2, /unknown option '--colour'/],
    ["F44: an unknown command", ["serve"], 2, /unknown command 'serve'/],
    ["F44: no path", ["gateway"], 2, /missing required argument 'path'/],
    ["F44: a port that is none", ["gateway", "x", "--http-port", "http"], 2, /a port is a number from 1 to 65535/],
    ["F44: an address that is none", ["gateway", "x", "--admin-address", "here"], 2, /an address is host:port, or off/],
    ["F44: a pool that is none", ["gateway", "x", "--gateway-address-pool", "10.0.0.0"], 2, /is not an IPv4 range/],
    ["F44: a log level that is none", ["gateway", "x", "--log-level", "loud"], 2, /Allowed choices are trace/],
    ["F44: one half of a certificate", ["gateway", folder, "--tls-cert-file", "x"], 2, /belong together/],
    ["F44: an address to bind that is none", ["gateway", folder, "--bind-address", "foo"], 2, /It is no IP address/],
    [
      "F44: a certificate that is not there",
      ["gateway", folder, "--tls-cert-file", "/nowhere", "--tls-key-file", "/nowhere"],
      1,
      /^serviceroute: cannot read \/nowhere \(ENOENT\); check --tls-cert-file and --tls-key-file$/m,
    ],
    ["F44: a range that is none", ["gateway", folder, "--trusted-proxies", "10.0.0.0/99"], 2, /no address and no CIDR/],
    [
      "F44: two ways of trusting proxies",
      ["gateway", folder, "--trusted-hops", "1", "--trusted-proxies", "10.0.0.0/8"],
      2,
      /^serviceroute: --trusted-hops and --trusted-proxies exclude each other; give one$/m,
    ],
    ["F44: a path that is not there", ["gateway", "/nowhere"], 1, /cannot read .*nowhere/],
    [
      "F44: an unreadable kubeconfig",
      ["controller", "--kubeconfig", "/nowhere"],
      1,
      /the kubeconfig cannot be read: .*; give another with --kubeconfig/,
    ],
    [
      "F44: a kubeconfig whose certificate authority is not there",
      [
        "controller",
        "--kubeconfig",
        write(
          "lost.kubeconfig",
          `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1", certificate-authority: /nowhere/ca.crt}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`,
        ),
      ],
      1,
      /the kubeconfig cannot be read: .*\/nowhere\/ca.crt.*; give another with --kubeconfig/,
    ],
    [
      "F44: a kubeconfig without a context",
      [
        "controller",
        "--kubeconfig",
        write("empty.kubeconfig", "apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\n"),
      ],
      1,
      /no current context/,
    ],
    [
      "nobody at the admin endpoint",
      ["get", "routes", "--admin", "http://127.0.0.1:2"],
      1,
      /no answer from http:\/\/127.0.0.1:2: connect ECONNREFUSED 127.0.0.1:2; is a gateway running there/,
    ],
    [
      "nobody at an admin endpoint without a scheme",
      ["get", "routes", "--admin", "127.0.0.1:2"],
      1,
      /no answer from 127.0.0.1:2: connect ECONNREFUSED/,
    ],
    ["a URL that is none", ["explain", "GET", "shop", "x"], 2, /is no URL; write it whole/],
    ["an address that is none", ["explain", "TCP", "db/x", "x"], 2, /is no address; write host:port, such as/],
  ])("%s: exit code and one line with what to do", async ([, args, code, line]) => {
    const result = await serviceroute(args);
    expect(result.stderr).toMatch(line);
    expect(result.stderr).not.toContain("    at ");
    expect(result.code).toBe(code);
  });

  test("F44: an admin port in use", async () => {
    const taken = await startRaw(() => undefined);
    cleanups.push(taken.stop);
    const result = await serviceroute([
      "gateway",
      folder,
      "--http-port",
      String(await freePort()),
      "--admin-address",
      `127.0.0.1:${taken.port}`,
    ]);
    expect([result.code, result.stderr.trim()]).toEqual([
      1,
      `serviceroute: 127.0.0.1:${taken.port} is in use; choose another --admin-address, or "off"`,
    ]);
  });

  test("every command has help, and every flag of it a line", async () => {
    const { stdout } = await serviceroute(["--help"]);
    const commands = [...stdout.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name ?? "");
    expect(commands).toEqual(
      expect.arrayContaining(["controller", "gateway", "validate", "render", "get", "explain", "completion"]),
    );
    for (const { commands, options } of [createProgram(), ...createProgram().commands])
      for (const one of [...commands, ...options]) {
        const text = one instanceof Option ? one.description : one.summary() || one.description();
        expect(text, one instanceof Option ? one.flags : one.name()).not.toBe("");
      }
    for (const command of ["controller", "gateway"]) {
      const help = await serviceroute([command, "--help"]);
      expect([help.code, help.stdout.includes("SERVICEROUTE_HTTP_PORT")]).toEqual([0, true]);
    }
  });
});

describe("gateway", () => {
  test("S7: listens where it is documented to, and nowhere else", async () => {
    const metrics = await freePort();
    const { program, port, admin } = await startGateway(
      [write("empty.yaml", "")],
      ["--metrics-address", `127.0.0.1:${metrics}`],
    );
    await until("bound", () => listening(program.child.pid ?? 0).length === 3);
    expect(listening(program.child.pid ?? 0)).toEqual(
      [`127.0.0.1:${port}`, `127.0.0.1:${admin}`, `127.0.0.1:${metrics}`].sort(),
    );
    for (const path of ["", "v1/table", "v1/routes", "v1/gateways", "v1/explain", "debug/pprof/", "quitquitquit"])
      expect((await fetch(`http://127.0.0.1:${metrics}/${path}`)).status, path).toBe(404);
    for (const path of ["healthz", "readyz", "metrics"])
      expect((await fetch(`http://127.0.0.1:${metrics}/${path}`)).status, path).toBe(200);
    expect(await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text()).toContain(
      "serviceroute_http_requests_total",
    );
  });

  test.for(["127.0.0.1", "0.0.0.0"])("status.addresses of a Gateway bound to %s can be dialled", async (bind) => {
    const [web, listenerPort] = [await new Backend("web").start(), await freePort()];
    cleanups.push(async () => web.stop());
    const gateway = `---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec: {gatewayClassName: serviceroute, listeners: [{name: http, port: ${listenerPort}, protocol: HTTP}]}\n`;
    const route = routeYaml("r", "parentRefs: [{name: gw}]\nrules: [{backendRefs: [{name: web, port: 80}]}]");
    const file = write("addresses.yaml", gateway + serviceYaml("web", [web.port]) + route);
    const { admin } = await startGateway([file], ["--bind-address", bind]);
    const shown = await serviceroute(["get", "gateways", "gw", "-o", "json", "--admin", `http://127.0.0.1:${admin}`]);
    const { status } = JSON.parse(shown.stdout) as { status: { addresses: { value: string }[] } };
    expect(status.addresses).toHaveLength(1);
    expect((await send(listenerPort, "/", {}, status.addresses[0]?.value)).body).toBe("web");
  });

  test("P20: no admin path answers on the port of the traffic", async () => {
    const { port } = await startGateway([write("empty.yaml", "")]);
    for (const path of ["/v1/table", "/v1/routes", "/metrics", "/healthz", "/readyz", "/v1/explain"])
      expect((await send(port, path)).status).toBe(404);
  });

  test("F44: follows its folder; a file that breaks keeps its last good objects and is told of with its place", async () => {
    const web = await new Backend("web").start();
    cleanups.push(async () => web.stop());
    const own = mkdtempSync(join(tmpdir(), "serviceroute-folder-"));
    cleanups.push(async () => Promise.resolve(rmSync(own, { recursive: true })));
    const file = join(own, "all.yaml");
    const good = (path: string): string =>
      serviceYaml("web", [web.port]) +
      routeYaml("r", `rules: [{matches: [{path: {value: ${path}}}], backendRefs: [{name: web, port: 80}]}]`);
    writeFileSync(file, good("/a"));
    const { program, port } = await startGateway([own]);
    await until("served", async () => (await send(port, "/a")).status === 200);
    writeFileSync(file, "apiVersion: [");
    await until("told", () => /all\.yaml:1:[0-9]+: /.test(program.output));
    expect((await send(port, "/a")).status).toBe(200);
    writeFileSync(file, "");
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await send(port, "/a")).status).toBe(200);
    writeFileSync(file, good("/b"));
    await until("mended", async () => (await send(port, "/b")).status === 200);
    rmSync(file);
    await until("gone", async () => (await send(port, "/b")).status === 404);
  });

  test("F53: a second SIGTERM ends it at once, whatever is under way", async () => {
    const hanging = await startRaw(() => undefined);
    cleanups.push(hanging.stop);
    const file = write(
      "hanging.yaml",
      serviceYaml("web", [hanging.port]) + routeYaml("r", "rules: [{backendRefs: [{name: web, port: 80}]}]"),
    );
    const { program, port } = await startGateway([file]);
    void send(port, "/").catch(() => undefined);
    await until("under way", () => hanging.sockets() > 0);
    program.child.kill("SIGTERM");
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(program.running).toBe(true);
    program.child.kill("SIGTERM");
    expect(await program.exited).toBe(1);
  });

  test("F53: SIGTERM ends it with 0, SIGHUP does not", async () => {
    const { program } = await startGateway([write("empty.yaml", "")]);
    program.child.kill("SIGHUP");
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(program.running).toBe(true);
    expect(await program.stop("SIGTERM")).toBe(0);
  });

  test("what a command prints is whole, however late its reader comes", async () => {
    const bad = Array.from({ length: 3000 }, (_, i) => routeYaml(`r${i}`, "rules: [{bogus: 1}]")).join("");
    const args = [...SERVICEROUTE, "validate", write("bad.yaml", bad)];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] });
    cleanups.push(async () => Promise.resolve(child.kill("SIGKILL")));
    let text = "";
    await new Promise((resolve) => setTimeout(resolve, 4000));
    child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await once(child, "close");
    expect(text.split("\n").filter((line) => line.includes("bogus"))).toHaveLength(3000);
  });
});
