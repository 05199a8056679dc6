import { once } from "node:events";
import { createSocket } from "node:dgram";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { expect, test } from "vitest";
import type { Key } from "../../src/api/keys.ts";
import type { BoundServer, SocketHandlers } from "../../src/proxy/downstream/bound-server.ts";
import { SocketServer } from "../../src/proxy/downstream/socket-server.ts";
import { TlsContexts } from "../../src/proxy/downstream/tls-contexts.ts";
import type { GatewayContext } from "../../src/proxy/gateway-context.ts";
import { TcpServer } from "../../src/proxy/tcp/tcp-server.ts";
import { UdpServer } from "../../src/proxy/udp/udp-server.ts";
import type { Listener, ListenerId } from "../../src/routing/listener.ts";
import { clientHello } from "../support/client-hello.ts";
import { until } from "../support/data-plane.ts";
import { freePort } from "../support/ports.ts";
import { cleanups } from "../support/gateway-rig.ts";

const DEFECT = new Error("a defect");
const fails = (): never => {
  throw DEFECT;
};
const NO_CONTEXT = { ownEnds: { has: () => false } } as unknown as GatewayContext;
const HEAD = "GET / HTTP/1.1\r\nhost: a.example.com\r\n";

/** A server of ours in which whatever a client sets off fails. */
async function failing(protocol: Listener["protocol"]) {
  const told: unknown[] = [];
  let state = "";
  const handlers: SocketHandlers = {
    admits: () => true,
    arrive: fails,
    listeners: fails,
    defect: (error) => told.push(error),
    changed: ({ kind }) => (state = kind),
    ports: undefined,
  };
  const port = await freePort();
  const listener: Listener = {
    id: "/builtin/http" as ListenerId,
    gateway: "Gateway//builtin" as Key<"Gateway">,
    name: "http",
    address: "127.0.0.1",
    port,
    bindPort: port,
    digest: "",
    protocol,
    hostname: "*",
    certificates: [],
  };
  const server = serverFor(listener, handlers);
  cleanups.push(async () => Promise.resolve(server.destroy()));
  server.listen();
  await until("it is bound", () => state === "serving");
  return { port, told };
}

function serverFor(listener: Listener, handlers: SocketHandlers): BoundServer {
  if (listener.protocol === "UDP") return new UdpServer(listener, NO_CONTEXT, handlers);
  return listener.protocol === "HTTP" || listener.protocol === "HTTPS"
    ? new SocketServer(listener, new TlsContexts(), { http2: true }, handlers)
    : new TcpServer(listener, new TlsContexts(), NO_CONTEXT, handlers);
}

async function sendUntilClosed(port: number, bytes: string | Buffer): Promise<void> {
  const client = connect(port, "127.0.0.1", () => client.write(bytes));
  client.on("error", () => undefined).resume();
  await new Promise<void>((resolve) => client.once("close", () => resolve()));
}

const CLIENTS: readonly (readonly [string, Listener["protocol"], string | Buffer])[] = [
  ["a request", "HTTP", `${HEAD}\r\n`],
  ["a request that waits to be asked for its body", "HTTP", `${HEAD}expect: 100-continue\r\ncontent-length: 1\r\n\r\n`],
  ["a request that expects something else", "HTTP", `${HEAD}expect: miracles\r\n\r\n`],
  ["a WebSocket", "HTTP", `${HEAD}connection: upgrade\r\nupgrade: websocket\r\n\r\n`],
  ["a tunnel", "HTTP", "CONNECT a.example.com:443 HTTP/1.1\r\nhost: a.example.com\r\n\r\n"],
  ["bytes that are no request", "HTTP", "?\r\n\r\n"],
  ["a connection", "TCP", "x"],
  ["a connection on TLS", "TLS", clientHello(Buffer.from("a.example.com"))],
];

test.each(CLIENTS)("S20: a defect of ours met by %s costs that connection only", async (_what, protocol, bytes) => {
  const { port, told } = await failing(protocol);
  for (let i = 0; i < 2; i++) await sendUntilClosed(port, bytes);
  expect(told).toEqual([DEFECT, DEFECT]);
});

test("S20: a defect of ours met by a stream of HTTP/2 costs that stream only", async () => {
  const { port, told } = await failing("HTTP");
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  cleanups.push(async () => Promise.resolve(session.destroy()));
  for (let i = 0; i < 2; i++) await once(session.request({ ":path": "/" }).resume(), "close");
  expect(told).toEqual([DEFECT, DEFECT]);
});

test("S20: a defect of ours met by a handshake costs that connection only", async () => {
  const { port, told } = await failing("HTTPS");
  for (let i = 0; i < 2; i++) {
    const client = connectTls({ port, host: "127.0.0.1", servername: "a.example.com", rejectUnauthorized: false });
    client.on("error", () => undefined);
    await new Promise<void>((resolve) => client.once("close", () => resolve()));
  }
  expect(told).toEqual([DEFECT, DEFECT]);
});

test("S20: a defect of ours met by a datagram costs that datagram only", async () => {
  const { port, told } = await failing("UDP");
  const client = createSocket("udp4");
  for (let i = 0; i < 2; i++) client.send("x", port, "127.0.0.1");
  await until("both are told", () => told.length === 2);
  client.close();
});
