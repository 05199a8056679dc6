import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as tlsConnect } from "node:tls";
import { afterAll, describe, expect, test } from "vitest";
import { credentials, Metadata } from "@grpc/grpc-js";
import { type DataPlaneRig, until } from "../support/data-plane.ts";
import { freePort } from "../support/ports.ts";
import { FrameClient } from "../support/http2-frames.ts";
import { GATEWAY, WEB, cleanups, rigWith } from "../support/gateway-rig.ts";
import { GrpcBackend, callUnary, grpcClient } from "../support/grpc.ts";
import { askHttp2, openHttp2 } from "../support/http2.ts";
import { routeYaml, secretYaml, serviceYaml } from "../support/objects.ts";
import { Pki } from "../support/pki.ts";

const folder = mkdtempSync(join(tmpdir(), "serviceroute-h2-"));
const pki = new Pki(folder);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const HTTPS = (name: string): string =>
  `{name: ${name}, port: PORT, protocol: HTTPS, hostname: ${name}.example.com, tls: {certificateRefs: [{name: both}]}}`;

/** Two HTTPS listeners on one port, with one certificate for both. */
async function secureRig(more = "", spec = WEB): Promise<{ rig: DataPlaneRig; port: number }> {
  const { rig, web } = await rigWith();
  const port = await freePort();
  const { cert, key } = pki.issue("both", "/CN=both", "subjectAltName=DNS:a.example.com,DNS:b.example.com");
  await rig.publish(
    secretYaml("both", readFileSync(cert, "utf8"), readFileSync(key, "utf8")) +
      serviceYaml("web", [web.port]) +
      more +
      GATEWAY(port, `${HTTPS("a")}, ${HTTPS("b")}`) +
      routeYaml("r", spec),
  );
  return { rig, port };
}

async function negotiated(port: number, protocols: string[]): Promise<string> {
  return new Promise((resolve) => {
    const socket = tlsConnect(
      { host: "127.0.0.1", port, servername: "a.example.com", rejectUnauthorized: false, ALPNProtocols: protocols },
      () => {
        socket.destroy();
        resolve(String(socket.alpnProtocol));
      },
    );
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

describe("HTTP/2 over TLS", () => {
  test("D43: ALPN decides, and a client that offers nothing we speak is refused", async () => {
    const { port } = await secureRig();
    expect(await negotiated(port, ["h2", "http/1.1"])).toBe("h2");
    expect(await negotiated(port, ["http/1.1"])).toBe("http/1.1");
    expect(await negotiated(port, ["http/1.1", "h2"])).toBe("h2");
    expect(await negotiated(port, ["spdy/3"])).toMatch(/ALERT|RESET/);
  });

  test("B48, S35: a request for another listener's host on a connection that is reused is 421", async () => {
    const { port } = await secureRig();
    const session = await openHttp2(`https://a.example.com:${port}`, {
      rejectUnauthorized: false,
      lookup: (_name, _options, done) => done(null, [{ address: "127.0.0.1", family: 4 }]),
    });
    cleanups.push(async () => Promise.resolve(session.destroy()));
    expect((await askHttp2(session, "/", { authority: "a.example.com" })).body).toBe("web");
    expect((await askHttp2(session, "/", { authority: "b.example.com" })).status).toBe(421);
    expect((await askHttp2(session, "/", { authority: "a.example.com" })).status).toBe(200);
  });

  test("gRPC over TLS", async () => {
    const echo = await new GrpcBackend().start({
      Unary: (call: { request: string }, done: (error: null, value: string) => void) => done(null, call.request),
    });
    cleanups.push(async () => Promise.resolve(echo.stop()));
    const { port } = await secureRig(
      serviceYaml("echo", [echo.port]).replace("appProtocol: http", "appProtocol: grpc"),
      "rules: [{backendRefs: [{name: echo, port: 80}]}]",
    );
    const secure = credentials.createSsl(readFileSync(pki.path("ca.crt")));
    const client = grpcClient(port, "a.example.com", secure);
    cleanups.push(async () => Promise.resolve(client.close()));
    expect(await callUnary(client, "hi", new Metadata())).toMatchObject({ code: 0, text: "hi" });
  });
});

test("S19, D43: where HTTP/2 is off, ALPN does not offer it and its preface is no request", async () => {
  const { rig, web } = await rigWith({ http2: false });
  const port = await freePort();
  const { cert, key } = pki.issue("both", "/CN=both", "subjectAltName=DNS:a.example.com");
  await rig.publish(
    secretYaml("both", readFileSync(cert, "utf8"), readFileSync(key, "utf8")) +
      serviceYaml("web", [web.port]) +
      GATEWAY(port, HTTPS("a")) +
      routeYaml("r", WEB),
  );
  expect(await negotiated(port, ["h2", "http/1.1"])).toBe("http/1.1");
  const client = await FrameClient.open(rig.port);
  await until("it is closed", () => client.closed);
  expect((await rig.ask("/")).body).toBe("web");
});
