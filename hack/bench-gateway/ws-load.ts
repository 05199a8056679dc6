/**
 * Sends messages over WebSockets, the next one of each when the one before has come back. Arguments: URL, Host,
 * connections, seconds. Prints a {@link Load}.
 */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";

const [url = "", host = "", connections = "64", seconds = "5"] = process.argv.slice(2);
const MESSAGE = Buffer.alloc(100, "m");
const times: number[] = [];
let failed = 0;
let isOver = false;

const sockets = await Promise.all(
  Array.from({ length: Number(connections) }, async () => {
    const socket = new WebSocket(url, { headers: { host }, perMessageDeflate: false });
    await once(socket, "open");
    return socket;
  }),
);
const started = performance.now();
for (const socket of sockets) {
  let sentAt = performance.now();
  socket.on("close", () => (failed += isOver ? 0 : 1));
  socket.on("message", () => {
    const now = performance.now();
    times.push(now - sentAt);
    sentAt = now;
    if (!isOver) socket.send(MESSAGE);
  });
  socket.send(MESSAGE);
}
await sleep(Number(seconds) * 1000);
isOver = true;
const perSecond = (times.length / (performance.now() - started)) * 1000;
times.sort((a, b) => a - b);
const at = (share: number): number => times[Math.floor(times.length * share)] ?? 0;
console.log(JSON.stringify({ perSecond, p50: at(0.5), p99: at(0.99), p999: at(0.999), failed }));
for (const socket of sockets) socket.terminate();
