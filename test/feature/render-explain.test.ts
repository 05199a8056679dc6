import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { serviceroute } from "../support/controller.ts";
import { GATEWAY } from "../support/gateway-rig.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

const folder = mkdtempSync(join(tmpdir(), "serviceroute-explain-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

describe("render and explain, without a gateway", () => {
  const manifests = (): string =>
    write(
      "good.yaml",
      serviceYaml("web") +
        routeYaml(
          "r",
          "hostnames: [a.example.com]\nrules: [{name: one, matches: [{path: {value: /one}}], backendRefs: [{name: web, port: 80}]}, {name: rest, backendRefs: [{name: web, port: 80}]}]",
        ),
    );

  test("render prints the table", async () => {
    const { stdout } = await serviceroute(["render", manifests()]);
    const hosts = (parse(stdout) as { hosts: Record<string, Record<string, { rule: string }[]>> }).hosts[
      "/builtin/http"
    ];
    expect(hosts?.["a.example.com"]?.map(({ rule }) => rule)).toEqual(["one", "rest"]);
  });

  test("explain says who wins and what the others lost on", async () => {
    const { stdout } = await serviceroute(["explain", "GET", "http://a.example.com/one/x", manifests()]);
    expect(stdout).toMatch(/Rule +default\/r one/);
    expect(stdout).toMatch(/default\/r rest .*: matches, but loses on path/);
    const none = await serviceroute(["explain", "GET", "http://b.example.com/", manifests()]);
    expect(none.stdout).toMatch(/404 NoRoute: no route has this hostname/);
  });

  test("B54: what only proxies may say chooses rules where the request is said to come from a trusted one", async () => {
    const file = write(
      "proxied.yaml",
      serviceYaml("web") +
        routeYaml(
          "r",
          "rules: [{name: user, matches: [{headers: [{name: X-Forwarded-User, value: ann}, {name: X-Forwarded-Proto, value: https}]}], backendRefs: [{name: web, port: 80}]}]",
        ),
    );
    const asked = [
      "explain",
      "GET",
      "http://a.test/",
      file,
      "-H",
      "X-Forwarded-User: ann",
      "-H",
      "X-Forwarded-Proto: https",
    ];
    expect((await serviceroute(asked)).stdout).toMatch(/404 NoRoute/);
    expect((await serviceroute([...asked, "--trusted-proxy"])).stdout).toMatch(/Rule +default\/r user/);
    // What is no scheme is not believed of anybody.
    const odd = await serviceroute([...asked.slice(0, -1), "X-Forwarded-Proto: HTTPS", "--trusted-proxy"]);
    expect(odd.stdout).toMatch(/404 NoRoute/);
  });

  const gatewayOf = (name: string): string =>
    `---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: ${name}}\nspec: {gatewayClassName: serviceroute, listeners: [{name: http, port: 80, protocol: HTTP}]}\n`;

  test("Gateways on one port are no mistake, and explain asks each of them, or one", async () => {
    const file = write(
      "two.yaml",
      serviceYaml("web") +
        gatewayOf("one") +
        gatewayOf("two") +
        routeYaml(
          "r",
          "parentRefs: [{name: two}]\nhostnames: [a.test]\nrules: [{backendRefs: [{name: web, port: 80}]}]",
        ),
    );
    expect((await serviceroute(["validate", file])).stdout).toContain("0 problems");
    const all = await serviceroute(["explain", "GET", "http://a.test/", file]);
    expect(all.stdout).toMatch(/^Listener +default\/two\/http\n +also taken by \/builtin\/http, default\/one\/http;/);
    const one = await serviceroute(["explain", "GET", "http://a.test/", file, "--gateway", "default/one"]);
    expect(one.stdout).toMatch(/^Listener +default\/one\/http\n.*\nAnswer +404 NoRoute/);
    const builtin = await serviceroute(["explain", "GET", "http://a.test/", file, "--gateway", "builtin"]);
    expect(builtin.stdout).toMatch(/^Listener +\/builtin\/http\n/);
  });

  test("explain reads cookies and headers as the gateway does, and names what lost on its hostname", async () => {
    const match = "matches: [{cookies: [{name: tier, value: gold}], headers: [{name: x-list, value: 'a,b'}]}]";
    const file = write(
      "cookies.yaml",
      routeYaml("r", `hostnames: [x.b.test]\nrules: [{name: gold, ${match}}, {name: rest}]`) +
        routeYaml("wide", 'hostnames: ["*.b.test"]\nrules: [{name: only, matches: [{path: {value: /only}}]}]'),
    );
    const winner = async (...lines: string[]): Promise<string> => {
      const asked = lines.flatMap((line) => ["-H", line]);
      const { stdout } = await serviceroute(["explain", "GET", "http://x.b.test/only", ...asked, file, "-o", "json"]);
      return (JSON.parse(stdout) as { winner: { rule: string } }).winner.rule;
    };
    expect(await winner("cookie: a=1", "cookie: tier=gold", "x-list: a", "X-List: b")).toBe("gold");
    expect(await winner("cookie: tiergold", "x-list: a,b")).toBe("rest");
    const { stdout } = await serviceroute(["explain", "GET", "http://x.b.test/only", file]);
    expect(stdout).toContain("default/wide only  (PathPrefix /only): hostname *.b.test is less specific than x.b.test");
  });

  test("explain asks the request policy as the gateway does", async () => {
    const headers = (name: string, value: string): string =>
      `matches: [{headers: [{name: ${name}, value: '${value}'}]}]`;
    const file = write(
      "policy.yaml",
      routeYaml(
        "r",
        `rules: [{name: host, ${headers("Host", "a.test")}}, {name: all, ${headers("Cookie", "a=1; b=2")}}]`,
      ),
    );
    const ask = async (...args: string[]): Promise<{ stdout: string; stderr: string }> =>
      serviceroute(["explain", ...args, file]).catch((error: unknown) => error as { stdout: string; stderr: string });
    expect((await ask("GET", "http://a.test/")).stdout).toMatch(/Rule +default\/r host/);
    expect((await ask("GET", "http://127.0.0.1/", "-H", "Host: a.test")).stdout).toMatch(/Rule +default\/r host/);
    const cookies = ["-H", "cookie: a=1", "-H", "cookie: b=2"];
    expect((await ask("GET", "http://b.test/", ...cookies)).stdout).toMatch(/Rule +default\/r all/);
    const refused = [
      [["-H", "x_y: 1"], /the gateway answers 400: the name of a header has an underscore/],
      [["-H", "content-type: a", "-H", "content-type: b"], /the gateway answers 400: header content-type comes more/],
      [Array.from({ length: 100 }, () => ["-H", "a: b"]).flat(), /the gateway answers 431: more than 100 headers/],
    ] as const;
    for (const [args, told] of refused) expect((await ask("GET", "http://a.test/", ...args)).stderr).toMatch(told);
    expect((await ask("TRACE", "http://a.test/")).stderr).toMatch(/the gateway answers 405/);
    for (const line of ["a b: c", "x: a\u0001b", ": v", "none"])
      expect((await ask("GET", "http://a.test/", "-H", line)).stderr).toMatch(/is no header; write 'name: value'/);
  });

  test("explain knows connections and datagrams, every policy of a rule, and its fallback", async () => {
    const listeners =
      "{name: t, port: 5432, protocol: TCP}, {name: s, port: 853, protocol: TLS, tls: {mode: Passthrough}}, {name: u, port: 53, protocol: UDP}";
    const file = write(
      "connections.yaml",
      serviceYaml("web") +
        serviceYaml("sorry") +
        GATEWAY(1, listeners) +
        routeYaml(
          "t",
          "parentRefs: [{name: gw, sectionName: t}]\nrules: [{timeouts: {idle: 7m}, circuitBreaker: {maxConnections: 3}, healthCheck: {passive: {interval: 4s}}, backendRefs: [{name: web, port: 80}], fallback: {backendRef: {name: sorry, port: 80}}}]",
        ) +
        routeYaml(
          "s",
          "parentRefs: [{name: gw, sectionName: s}]\nhostnames: [db.example.com]\nrules: [{backendRefs: [{name: web, port: 80}]}]",
        ) +
        routeYaml(
          "h",
          "hostnames: [a.test]\nrules: [{timeouts: {connect: 3s}, retry: {attempts: 2, codes: [503], backoff: 50ms, budget: {percent: 30}}, backendRefs: [{name: web, port: 80}]}]",
        ),
    );
    const said = async (...args: string[]): Promise<string> => (await serviceroute(["explain", ...args, file])).stdout;
    const tcp = await said("TCP", ":5432");
    expect(tcp).toMatch(/^Listener +default\/gw\/t\n.*\nRule +default\/t rules\[0\]/);
    expect(tcp).toMatch(/idle 420000 ms.*at once: connections 3.*Fallback\n +default\/sorry:80 .*/s);
    expect(tcp).toContain("forgives after each 4s of quiet");
    expect(await said("TLS", "db.example.com:853")).toMatch(/Rule +default\/s/);
    expect(await said("TLS", "other.example.com:853")).toContain("Answer    reset NoRoute: no route has this hostname");
    expect(await said("UDP", ":53")).toContain("Answer    dropped NoRoute: no route has this hostname");
    expect(await said("UDP", ":54")).toContain("dropped NoRoute: no listener takes");
    expect(await said("GET", "http://a.test/")).toMatch(
      /connect 3000 ms\nRetry +2 times, also on 503; 50 ms apart, then more; at most 30 % of what is active, or 3/,
    );
  });

  test("explain knows a preflight; all three take the class of Gateways", async () => {
    const cors = routeYaml("r", "rules: [{filters: [{type: CORS, cors: {}}], backendRefs: [{name: web, port: 80}]}]");
    const gateway =
      "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec: {gatewayClassName: mine, listeners: [{name: http, port: 81, protocol: HTTP}]}\n";
    const file = write("preflight.yaml", serviceYaml("web") + cors + gateway);
    const asked = ["explain", "OPTIONS", "http://x.test/", "-H", "origin: https://a.test"];
    const preflight = await serviceroute([...asked, "-H", "access-control-request-method: PUT", file]);
    expect(preflight.stdout).toContain("respond 204: a CORS preflight is answered here");
    expect((await serviceroute([...asked, file])).stdout).toContain("forward");
    expect((await serviceroute(["render", file, "--gateway-class", "mine"])).stdout).toContain("default/gw/http");
    expect((await serviceroute(["render", file])).stdout).not.toContain("default/gw/http");
  });

  /** What bash offers for the last of these words. */
  function offered(script: string, ...words: string[]): string[] {
    const set = `COMP_WORDS=(serviceroute ${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length}`;
    const text = `complete() { :; }; ${script}\n${set}; _serviceroute; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync("bash", ["-c", text], { encoding: "utf8" }).trim().split("\n");
  }

  test("completion in bash knows the commands, their flags, and what each of them takes", async () => {
    const { stdout } = await serviceroute(["completion", "bash"]);
    expect(offered(stdout, "ex")).toEqual(["explain"]);
    expect(offered(stdout, "gateway", "--http")).toEqual(["--http2", "--http-port", "--https-port"]);
    expect(offered(stdout, "get", "-o", "")).toEqual(["table", "wide", "json", "yaml"]);
    expect(offered(stdout, "validate", "--output", "")).toEqual(["table", "json", "yaml"]);
    expect(offered(stdout, "render", "-o", "")).toEqual(["yaml", "json"]);
    expect(offered(stdout, "get", "")).toEqual(expect.arrayContaining(["routes", "gateways"]));
    const zsh = await serviceroute(["completion", "zsh"]);
    expect(zsh.stdout).toContain(stdout.trim());
  });

  test("completion in fish has a line for every flag, with its short form and what it takes", async () => {
    const { stdout } = await serviceroute(["completion", "fish"]);
    const line = stdout.split("\n").find((text) => text.includes("from get'") && text.includes("-l output"));
    expect(line).toMatch(/ -s o -r -f -a 'table wide json yaml' -d '.+'$/);
    for (const text of stdout.split("\n").filter((one) => one.includes(" -l "))) expect(text).toMatch(/ -d '.+'$/);
  });
});
