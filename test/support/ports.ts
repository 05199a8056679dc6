import { createServer } from "node:net";

/** Below what the kernel gives to connections that go out: any of those, of any test beside, could take a port between here and its bind. */
const PORTS = { first: 10_000, count: 10_000 };
const handedOut = new Set<number>();

export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    if (handedOut.has(port) || !(await canListen(port))) continue;
    handedOut.add(port);
    return port;
  }
}

async function canListen(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
