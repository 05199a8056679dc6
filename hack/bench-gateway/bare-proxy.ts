/**
 * The least that a proxy in Node can be, to measure against: it copies headers, pipes bodies and upgraded connections,
 * and does nothing else. Arguments: the backend's port, ours, and the files of a certificate and its key for HTTPS.
 */
import { readFileSync } from "node:fs";
import { Agent, type IncomingMessage, type RequestListener, createServer, request } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Duplex } from "node:stream";

const [backend, port, cert, key] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: 256 });

const optionsOf = ({ method, url: path, headers }: IncomingMessage) => ({
  host: "127.0.0.1",
  port: Number(backend),
  method,
  path,
  headers,
});

const forward: RequestListener = (incoming, response) => {
  const outgoing = request({ ...optionsOf(incoming), agent }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  outgoing.on("error", () => response.destroy());
  // Else what clients have given up keeps its connection to the backend, until there is none left.
  response.on("close", () => outgoing.destroy());
  incoming.pipe(outgoing);
};

function upgrade(incoming: IncomingMessage, client: Duplex): void {
  const outgoing = request({ ...optionsOf(incoming), agent: false }).on("upgrade", ({ rawHeaders }, socket) => {
    const lines = rawHeaders.map((text, i) => (i % 2 === 0 ? `${text}: ` : `${text}\r\n`));
    client.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join("")}\r\n`);
    socket.pipe(client).pipe(socket);
    for (const one of [client, socket]) one.on("error", () => one.destroy());
  });
  outgoing.on("error", () => client.destroy()).end();
}

const server =
  cert === undefined || key === undefined
    ? createServer(forward)
    : createTlsServer({ cert: readFileSync(cert), key: readFileSync(key) }, forward);
server.on("upgrade", upgrade).listen(Number(port), "127.0.0.1", () => console.log("ready"));
