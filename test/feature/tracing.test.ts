import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type Server, createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { tracingSettings } from "../../src/telemetry/tracing.ts";
import { Backend, closedPort, headersOf } from "../support/backend.ts";
import { send, until } from "../support/data-plane.ts";
import { cleanups } from "../support/gateway-rig.ts";
import { runGateway } from "../support/gateway-process.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";
import { SERVICEROUTE, finish } from "../support/processes.ts";

interface Value {
  readonly stringValue?: string;
  readonly intValue?: number;
}
interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly status: { readonly code: number };
  readonly attributes: readonly { readonly key: string; readonly value: Value }[];
}
interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: OtlpSpan["attributes"] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

const attributes = ({ attributes: list }: Pick<OtlpSpan, "attributes">): Record<string, string | number> =>
  Object.fromEntries(list.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? ""]));

/** What OpenTelemetry's exporters send to. */
async function startCollector() {
  const bodies: { type: string; body: Buffer }[] = [];
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      bodies.push({ type: request.headers["content-type"] ?? "", body: Buffer.concat(chunks) });
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(async () => new Promise<void>((resolve) => server.close(() => resolve())));
  const exports = (): Export[] => bodies.map(({ body }) => JSON.parse(body.toString()) as Export);
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bodies,
    exports,
    spans: () => exports().flatMap((one) => one.resourceSpans.flatMap((r) => r.scopeSpans.flatMap((s) => s.spans))),
  };
}

async function tracedGateway(env: Readonly<Record<string, string>>, ports: readonly number[] = []) {
  const web = await new Backend("web").start();
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-tracing-"));
  const rules = "hostnames: [a.example.com]\nrules: [{name: all, backendRefs: [{name: web, port: 80}]}]";
  writeFileSync(join(folder, "all.yaml"), serviceYaml("web", [web.port, ...ports]) + routeYaml("r", rules));
  const { program, port } = await runGateway([folder], ["--access-log"], { OTEL_BSP_SCHEDULE_DELAY: "50", ...env });
  cleanups.push(
    async () => web.stop(),
    async () => Promise.resolve(rmSync(folder, { recursive: true })),
    async () => program.stop("SIGKILL"),
  );
  return { web, port, program };
}

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";

describe("traces", () => {
  test("of a request: what the client said goes on, with spans for the decision, the try and the response", async () => {
    const collector = await startCollector();
    const { web, port, program } = await tracedGateway({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_RESOURCE_ATTRIBUTES: "deployment.environment=test",
    });
    const headers = { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: "vendor=1", baggage: "k=v" };
    expect((await send(port, "/p?secret=1", { headers })).status).toBe(200);
    await until("the spans have come", () => collector.spans().length === 4);
    const spans = new Map(collector.spans().map((span) => [span.name, span]));
    const server = spans.get("GET default/r/all")!;
    const attempt = spans.get("try")!;
    expect([server.parentSpanId, server.kind, server.status.code]).toEqual([PARENT, 2, 0]);
    expect(attributes(server)).toMatchObject({
      "http.request.method": "GET",
      "http.response.status_code": 200,
      "url.path": "/p",
      "url.scheme": "http",
      "server.address": "a.example.com",
      "client.address": "127.0.0.1",
      "network.protocol.version": "1.1",
      "serviceroute.route": "default/r",
      "serviceroute.rule": "all",
    });
    for (const name of ["decision", "try", "response"]) expect(spans.get(name)?.parentSpanId).toBe(server.spanId);
    expect(attributes(attempt)).toMatchObject({
      "server.address": "127.0.0.1",
      "server.port": web.port,
      "http.response.status_code": 200,
      "serviceroute.backend": "default/web:80",
    });
    for (const span of spans.values()) {
      expect(span.traceId).toBe(TRACE);
      expect(BigInt(span.endTimeUnixNano) >= BigInt(span.startTimeUnixNano)).toBe(true);
    }
    const sent = (name: string): string[] => headersOf(web.seen[0]!, name);
    expect(sent("traceparent")).toEqual([`00-${TRACE}-${attempt.spanId}-01`]);
    expect([sent("tracestate"), sent("baggage")]).toEqual([["vendor=1"], ["k=v"]]);
    const [resource] = collector.exports()[0]!.resourceSpans;
    expect(attributes(resource!.resource)).toMatchObject({
      "service.name": "serviceroute",
      "deployment.environment": "test",
    });
    expect(JSON.stringify(collector.exports())).not.toContain("secret");
    expect(program.output).not.toContain("ended Span");
    await until("it is logged", () => program.output.includes(`"traceId":"${TRACE}"`));
  });

  test("of each try, and of what the gateway answers itself; the rest is sent when the process ends", async () => {
    const collector = await startCollector();
    const gone = await closedPort();
    const { port, program } = await tracedGateway(
      {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
        OTEL_BSP_SCHEDULE_DELAY: "60000",
      },
      [gone],
    );
    for (let i = 0; i < 10; i++) await send(port, "/");
    await send(port, "/", { host: "other.example.com" });
    expect(await program.stop("SIGTERM")).toBe(0);
    const tries = collector.spans().filter(({ name }) => name === "try");
    const failed = tries.filter((span) => attributes(span)["error.type"] === "ConnectFailure");
    expect(failed.length).toBeGreaterThan(0);
    expect(failed.every((span) => attributes(span)["server.port"] === gone && span.status.code === 2)).toBe(true);
    const resent = tries.filter((span) => attributes(span)["http.request.resend_count"] === 1);
    expect(resent.length).toBe(failed.length);
    const [unknown] = collector.spans().filter(({ name }) => name === "GET");
    expect(attributes(unknown!)).toMatchObject({ "http.response.status_code": 404 });
    expect(attributes(unknown!)["serviceroute.route"]).toBeUndefined();
  });

  test("of a client that goes away: its try lies within its request", async () => {
    const collector = await startCollector();
    const { web, port } = await tracedGateway({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    });
    web.answer = () => undefined;
    const socket = connect(port, "127.0.0.1");
    socket.write("GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n");
    await until("it is at the backend", () => web.seen.length === 1);
    socket.destroy();
    await until("the spans have come", () => collector.spans().length === 3);
    const [attempt, server] = ["try", "GET default/r/all"].map((name) =>
      collector.spans().find((span) => span.name === name),
    );
    for (const span of [attempt!, server!]) expect(attributes(span)["error.type"]).toBe("ClientGone");
    const order = [
      server!.startTimeUnixNano,
      attempt!.startTimeUnixNano,
      attempt!.endTimeUnixNano,
      server!.endTimeUnixNano,
    ];
    expect(order.map(BigInt)).toEqual(order.map(BigInt).toSorted((a, b) => Number(a - b)));
  });

  test("go out as protobuf unless told otherwise, and not at all for a client that is not sampled", async () => {
    const collector = await startCollector();
    const { web, port } = await tracedGateway({
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.endpoint}/v1/traces`,
    });
    await send(port, "/", { headers: { traceparent: `00-${TRACE}-${PARENT}-00` } });
    expect(headersOf(web.seen[0]!, "traceparent")[0]).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`));
    await send(port, "/", { headers: { traceparent: "00-nonsense" } });
    expect(headersOf(web.seen[1]!, "traceparent")[0]).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    await until("it has come", () => collector.bodies.length > 0);
    const [first] = collector.bodies;
    expect(first!.type).toBe("application/x-protobuf");
    expect(first!.body.includes("GET default/r/all")).toBe(true);
    expect(first!.body.includes(Buffer.from(TRACE, "hex"))).toBe(false);
  });

  test("a collector that is not there holds up nothing, neither requests nor the end", async () => {
    const { port, program } = await tracedGateway({
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await closedPort()}`,
    });
    for (let i = 0; i < 50; i++) expect((await send(port, "/")).status).toBe(200);
    expect(await program.stop("SIGTERM", 8000)).toBe(0);
  });

  test("are off by default: what a client says of its trace is passed on as it is", async () => {
    const { web, port } = await tracedGateway({});
    const traceparent = `00-${TRACE}-${PARENT}-01`;
    await send(port, "/", { headers: { traceparent } });
    expect(headersOf(web.seen[0]!, "traceparent")).toEqual([traceparent]);
  });

  test.for<[Record<string, string>, string]>([
    [{ OTEL_TRACES_EXPORTER: "zipkin" }, 'OTEL_TRACES_EXPORTER: "zipkin" is not served; use none, otlp'],
    [
      { OTEL_TRACES_EXPORTER: "otlp", OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" },
      'OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" is not served; use http/protobuf, http/json',
    ],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: "notaurl" },
      'OTEL_EXPORTER_OTLP_ENDPOINT: "notaurl" is no URL; write it like http://',
    ],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: "http://x", OTEL_EXPORTER_OTLP_HEADERS: "a=1,broken" },
      "OTEL_EXPORTER_OTLP_HEADERS: every header is written as name=value",
    ],
    [{ OTEL_TRACES_EXPORTER: "otlp", OTEL_TRACES_SAMPLER: "xray" }, 'OTEL_TRACES_SAMPLER: "xray" is not served'],
    [{ OTEL_TRACES_EXPORTER: "otlp", OTEL_TRACES_SAMPLER_ARG: "a" }, 'OTEL_TRACES_SAMPLER_ARG: "a" is no number'],
    [{ OTEL_TRACES_EXPORTER: "otlp", OTEL_TRACES_SAMPLER_ARG: "7" }, "OTEL_TRACES_SAMPLER_ARG: 7 is more than 1"],
  ])("variables that cannot be followed are said, %j", ([env, message]) => {
    expect(() => tracingSettings(env)).toThrow(message);
  });

  test("one line and exit code 2 tell of such a variable", async () => {
    const args = [...SERVICEROUTE, "gateway", tmpdir(), "--log-level", "fatal"];
    const { code, stderr } = await finish(process.execPath, args, "", { OTEL_TRACES_EXPORTER: "zipkin" });
    expect([code, stderr.split("\n")[0]]).toEqual([
      2,
      'serviceroute: OTEL_TRACES_EXPORTER: "zipkin" is not served; use none, otlp',
    ]);
  });

  test.for<[Record<string, string>, object | undefined]>([
    [{}, undefined],
    [{ OTEL_TRACES_EXPORTER: "none", OTEL_EXPORTER_OTLP_ENDPOINT: "http://x" }, undefined],
    [{ OTEL_SDK_DISABLED: "true", OTEL_EXPORTER_OTLP_ENDPOINT: "http://x" }, undefined],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "http://x" }, { protocol: "http/protobuf", sampler: "parentbased_always_on" }],
    [
      { OTEL_TRACES_EXPORTER: "otlp", OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.25" },
      { sampler: "traceidratio", ratio: 0.25, batch: {} },
    ],
    [{ OTEL_TRACES_EXPORTER: "otlp", OTEL_BSP_MAX_QUEUE_SIZE: "10" }, { batch: { maxQueueSize: 10 } }],
  ])("variables are followed, %j", ([env, settings]) => {
    if (settings === undefined) expect(tracingSettings(env)).toBeUndefined();
    else expect(tracingSettings(env)).toMatchObject(settings);
  });
});
