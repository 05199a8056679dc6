import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, isIPv6 } from "node:net";
import { endpointOf } from "../proxy/upstream/connect.ts";

const UDP = "/UDP";

/**
 * Whether a socket can be bound by nobody but us: it is, for a moment.
 *
 * @param socket  `address:port`, with `/UDP` after it for datagrams.
 * @returns       The system's code where it cannot.
 */
export async function probePort(socket: string): Promise<string | undefined> {
  const isUdp = socket.endsWith(UDP);
  const { host, port } = endpointOf(isUdp ? socket.slice(0, -UDP.length) : socket);
  try {
    await (isUdp ? probeUdp(host, port) : probeTcp(host, port));
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "EUNKNOWN";
  }
}

async function probeUdp(address: string, port: number): Promise<void> {
  const datagrams = createSocket(isIPv6(address) ? "udp6" : "udp4");
  try {
    const bound = once(datagrams, "listening");
    datagrams.bind({ address, port, exclusive: true });
    await bound;
  } finally {
    // One that could not be bound holds a descriptor all the same.
    datagrams.close();
  }
}

async function probeTcp(host: string, port: number): Promise<void> {
  const server = createServer();
  server.listen({ host, port });
  await once(server, "listening");
  server.close();
  await once(server, "close");
}
