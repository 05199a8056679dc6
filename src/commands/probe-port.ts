import { createSocket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import { createServer } from "node:net";
import { parseAddress } from "../telemetry/http-endpoint.ts";

const UDP = "/UDP";

/**
 * Whether a socket can be bound by nobody but us: it is, for a moment.
 *
 * @param socket  `address:port`, with `/UDP` after it for datagrams.
 * @returns       The system's code where it cannot.
 */
export async function probePort(socket: string): Promise<string | undefined> {
  const isUdp = socket.endsWith(UDP);
  const { host, port } = parseAddress(isUdp ? socket.slice(0, -UDP.length) : socket) ?? { host: "", port: 0 };
  try {
    if (isUdp) {
      const datagrams = createSocket(isIPv6(host) ? "udp6" : "udp4");
      const bound = once(datagrams, "listening");
      datagrams.bind({ address: host, port, exclusive: true });
      await bound;
      datagrams.close();
    } else {
      const server = createServer();
      server.listen({ host, port });
      await once(server, "listening");
      server.close();
      await once(server, "close");
    }
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "EUNKNOWN";
  }
}
