import { connect } from "node:net";
import { expect, test, vi } from "vitest";
import { type Backend, headersOf, startRaw } from "../support/backend.ts";
import { until } from "../support/data-plane.ts";
import { Cluster } from "../../src/proxy/upstream/cluster.ts";
import { WEB, cleanups, rigWith } from "../support/gateway-rig.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

/** All that comes over a connection that has been sent this, and whether it was closed. */
function raw(port: number, text: string): { text: string; isClosed: boolean; end: () => void } {
  const socket = connect(port, "127.0.0.1", () => socket.write(text));
  const seen = { text: "", isClosed: false, end: () => void socket.destroy() };
  socket.on("data", (chunk) => (seen.text += chunk.toString("latin1")));
  socket.on("close", () => (seen.isClosed = true));
  socket.on("error", () => undefined);
  cleanups.push(async () => Promise.resolve(seen.end()));
  return seen;
}
const serviceOf = (...backends: Pick<Backend, "port">[]): string =>
  serviceYaml(
    "web",
    backends.map(({ port }) => port),
  );
const answers = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

test("a body that stalls on its way to a rule that answers itself costs its connection, not its place for ever", async () => {
  const { rig } = await rigWith();
  const respond = "filters: [{type: DirectResponse, directResponse: {statusCode: 200, body: hi}}]";
  await rig.publish(routeYaml("r", `rules: [{maxRequestBody: 10Ki, timeouts: {idle: 300ms}, ${respond}}]`));
  const head = "POST / HTTP/1.1\r\nhost: a.example.com\r\ntransfer-encoding: chunked\r\n\r\n";
  const stalled = raw(rig.port, `${head}5\r\nhello\r\n`);
  await until("it is answered and closed", () => stalled.isClosed, 3000);
  expect(stalled.text).toMatch(/^HTTP\/1.1 504 .*connection: close/s);
  expect(stalled.text).toContain("IdleTimeout");
  const whole = raw(rig.port, `${head}5\r\nhello\r\n0\r\n\r\n`);
  await until("answered", () => whole.text.endsWith("hi"));
});

test("a mirror that answers nothing takes up a hundred connections, and no request waits for it", async () => {
  const { rig, web } = await rigWith();
  const silent = await startRaw(() => undefined);
  cleanups.push(silent.stop);
  await rig.publish(
    serviceOf(web) +
      serviceYaml("silent", [silent.port]) +
      routeYaml(
        "r",
        "rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: silent, port: 80}}}], backendRefs: [{name: web, port: 80}]}]",
      ),
  );
  for (let i = 0; i < 150; i++) expect((await rig.ask("/")).status).toBe(200);
  await until("the copies are on their way", () => silent.sockets() === 100);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(silent.sockets()).toBe(100);
});

test("an open tunnel is a request that its backend is busy with", async () => {
  const { rig } = await rigWith();
  const start = async () => {
    const backend = await startRaw((socket) => socket.once("data", () => socket.write(answers)));
    cleanups.push(backend.stop);
    return backend;
  };
  const [a, b] = [await start(), await start()];
  const route = routeYaml("r", WEB);
  const upgrade = "GET / HTTP/1.1\r\nhost: a.example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
  const open = async (count: number) => {
    const tunnels = Array.from({ length: count }, () => raw(rig.port, upgrade));
    await until("open", () => tunnels.every(({ text }) => text.startsWith("HTTP/1.1 101")));
    return tunnels;
  };
  await rig.publish(serviceOf(a) + route);
  const first = await open(10);
  await rig.publish(serviceOf(a, b) + route);
  await open(10);
  expect([a.sockets(), b.sockets()]).toEqual([10, 10]);
  for (const { end } of first) end();
  await until("closed", () => a.sockets() === 0);
  await open(10);
  expect([a.sockets(), b.sockets()]).toEqual([10, 10]);
});

test("a defect of ours in one request is answered 500, and costs no other", async () => {
  const { rig, web } = await rigWith();
  await rig.publish(serviceOf(web) + routeYaml("r", WEB));
  const broken = vi.spyOn(rig.engine.translator.table, "virtualHost").mockImplementationOnce(() => {
    throw new Error("a defect");
  });
  const reply = await rig.ask("/");
  expect([reply.status, reply.body]).toEqual([500, "InternalError\n"]);
  expect((await rig.ask("/")).status).toBe(200);
  broken.mockRestore();
  expect(await rig.metrics()).toContain('reason="InternalError"');
});

test("a defect of ours in a try, and in one that waited for it, leaves both places at the backend to others", async () => {
  const { rig, web } = await rigWith();
  const pick = vi.spyOn(Cluster.prototype, "pick");
  cleanups.push(async () => Promise.resolve(pick.mockRestore()));
  const breakNext = (): void =>
    void pick.mockImplementationOnce(() => {
      throw new Error("a defect");
    });
  let answerSlow = (): void => undefined;
  web.answer = ({ url }, response) => {
    if (url === "/slow") answerSlow = () => void response.end("web");
    else response.end("web");
  };
  const breaker = "circuitBreaker: {maxConnections: 1, maxPendingRequests: 2, maxRequests: 3}";
  await rig.publish(serviceOf(web) + routeYaml("r", `rules: [{${breaker}, backendRefs: [{name: web, port: 80}]}]`));
  breakNext();
  expect((await rig.ask("/")).body).toBe("InternalError\n");
  const slow = rig.ask("/slow");
  await until("it is under way", () => web.seen.length === 1);
  breakNext();
  const waiting = [rig.ask("/"), rig.ask("/")];
  await until("both wait", async () => (await rig.metrics()).includes("serviceroute_connections 3"));
  answerSlow();
  expect((await slow).status).toBe(200);
  expect((await Promise.all(waiting)).map(({ status }) => status).sort()).toEqual([200, 500]);
  expect((await rig.ask("/")).status).toBe(200);
});

test("B21: patterns that would take too long on a request cost that request alone", async () => {
  const { rig, web } = await rigWith();
  const rule = (j: number): string => {
    const pattern = (i: number): string => `{path: {type: RegularExpression, value: "/([a-z]+/?){300}!${j}x${i}"}}`;
    return `{matches: [${Array.from({ length: 5 }, (_, i) => pattern(i)).join()}], backendRefs: [{name: web, port: 80}]}`;
  };
  const slow = Array.from({ length: 12 }, (_, j) => rule(j)).join();
  await rig.publish(
    serviceOf(web) +
      routeYaml("slow", `hostnames: [slow.example.com]\nrules: [${slow}]`) +
      routeYaml("r", `hostnames: [a.example.com]\nrules: [{${WEB.slice("rules: [{".length, -2)}}]`) +
      routeYaml(
        "rewrite",
        'hostnames: [rewrite.example.com]\nrules: [{filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceRegexMatch, replaceRegexMatch: {pattern: "(.*!|a)", substitution: "b"}}}}], backendRefs: [{name: web, port: 80}]}]',
      ),
  );
  const long = `/${"a".repeat(15_000)}`;
  const outcome = async (path: string, host: string): Promise<string> => {
    const { status, body } = await rig.ask(path, { host });
    return `${status} ${body.trim()}`;
  };
  const started = performance.now();
  expect(await outcome(long, "slow.example.com")).toBe("500 PatternLimit");
  expect(await outcome(`/${"a".repeat(450)}`, "slow.example.com")).toBe("500 PatternLimit");
  expect(await outcome(long, "rewrite.example.com")).toBe("500 PatternLimit");
  expect(performance.now() - started).toBeLessThan(2000);
  expect(await outcome("/a/b", "slow.example.com")).toBe("404 NoRoute");
  expect(await outcome("/a", "rewrite.example.com")).toBe("200 web");
  expect(await outcome(long, "a.example.com")).toBe("200 web");
});

test("B54: a proxy that the operator trusts is believed, to the backend too", async () => {
  const { rig, web } = await rigWith({ trustedProxies: { kind: "hops", hops: 1 } });
  await rig.publish(serviceOf(web) + routeYaml("r", WEB));
  const headers = { "x-forwarded-for": "203.0.113.1", "x-forwarded-proto": "https" };
  await rig.ask("/", { headers: { ...headers, "x-forwarded-user": "u", "x-original-url": "/o", "x-real-ip": "i" } });
  const said = (name: string): string[] => headersOf(web.seen[0]!, name);
  expect([said("x-forwarded-for"), said("x-forwarded-proto")]).toEqual([["203.0.113.1, 127.0.0.1"], ["https"]]);
  expect([said("x-forwarded-user"), said("x-original-url"), said("x-real-ip")]).toEqual([["u"], ["/o"], []]);
});

test.for([
  ["drop", 200, []],
  ["allow", 200, ["1"]],
  ["reject", 400, undefined],
] as const)("D22: headers with an underscore in their name: %s", async ([underscores, status, seen]) => {
  const { rig, web } = await rigWith({ underscores });
  await rig.publish(serviceOf(web) + routeYaml("r", WEB));
  expect((await rig.ask("/", { headers: { x_a: "1" } })).status).toBe(status);
  expect(web.seen[0] === undefined ? undefined : headersOf(web.seen[0], "x_a")).toEqual(seen);
});

test("F47: a body that grows while a retry waits for its turn is sent from its start", async () => {
  const { rig } = await rigWith();
  const tries: string[] = [];
  const backend = await startRaw((socket) => {
    const number = tries.push("") - 1;
    socket.on("data", (chunk) => {
      const isFirst = tries[number] === "";
      tries[number] = `${tries[number] ?? ""}${chunk.toString("latin1")}`;
      if (number === 0 && isFirst) socket.write("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
      else if (number > 0 && tries[number].endsWith("0\r\n\r\n"))
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstored");
    });
  });
  cleanups.push(backend.stop);
  await rig.publish(
    serviceYaml("web", [backend.port]) +
      routeYaml(
        "r",
        "rules: [{retry: {attempts: 1, codes: [503], backoff: 500ms}, backendRefs: [{name: web, port: 80}]}]",
      ),
  );
  const piece = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
  const socket = connect(rig.port, "127.0.0.1");
  cleanups.push(async () => Promise.resolve(socket.destroy()));
  let answer = "";
  socket.on("data", (chunk) => (answer += chunk.toString()));
  socket.write(
    `POST / HTTP/1.1\r\nhost: a.example.com\r\ntransfer-encoding: chunked\r\n\r\n${piece("A".repeat(60_000))}`,
  );
  await until("the first try was answered", () => tries.length === 1 && tries[0] !== "");
  await new Promise((resolve) => setTimeout(resolve, 100));
  socket.write(piece("B".repeat(10_000)));
  await until("there is a second", () => tries.length === 2);
  socket.write(`${piece("TAIL")}0\r\n\r\n`);
  await until("it is answered", () => answer !== "");
  expect(answer).toMatch(/^HTTP\/1.1 200 .*stored$/s);
  const sent = (tries[1] ?? "").split("\r\n\r\n").slice(1).join("\r\n\r\n");
  expect(sent.replaceAll(/\r\n|[0-9a-f]{1,4}(?=\r\n)/g, "").replace(/0$/, "")).toBe(
    `${"A".repeat(60_000)}${"B".repeat(10_000)}TAIL`,
  );
});
