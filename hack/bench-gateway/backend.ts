/**
 * Answers with as many bytes as its path says, `/1024` for example, and with every message of a WebSocket; over HTTP/2
 * with the gRPC message that it got. Says its two ports on stdout.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";

const bodies = new Map<string, Buffer>();

const server = createServer((request, response) => {
  const size = /^\/(\d+)/.exec(request.url ?? "")?.[1] ?? "10";
  let body = bodies.get(size);
  if (body === undefined) bodies.set(size, (body = Buffer.alloc(Number(size), "x")));
  request.resume();
  response.writeHead(200, { "content-type": "text/plain", "content-length": body.length }).end(body);
});
server.keepAliveTimeout = 0;
new WebSocketServer({ server }).on("connection", (socket) =>
  socket.on("message", (data, binary) => socket.send(data, { binary })),
);

const grpc = createHttp2Server();
grpc.on("stream", (stream) => {
  // A load tool whose time is over goes away in the middle of calls.
  stream.on("error", () => undefined);
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.pipe(stream);
});

server.listen(0, "127.0.0.1");
grpc.listen(0, "127.0.0.1");
await Promise.all([once(server, "listening"), once(grpc, "listening")]);
console.log(`${(server.address() as AddressInfo).port} ${(grpc.address() as AddressInfo).port} ready`);
