import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import { type AddressInfo, type Server as TcpServer, type Socket, createServer as createTcpServer } from "node:net";

export interface Seen {
  readonly method: string;
  readonly url: string;
  /** Name and value in turn, as they came. */
  readonly headers: readonly string[];
  readonly body: Buffer;
}

/** Headers by name, repeated ones apart. */
export function headersOf(seen: Pick<Seen, "headers">, name: string): string[] {
  return seen.headers.filter((_, i) => i % 2 === 1 && seen.headers[i - 1]?.toLowerCase() === name);
}

type Answer = (request: Seen, response: ServerResponse, incoming: IncomingMessage) => void;

/** A backend that remembers every request and answers as it is told, by default with its own name. */
export class Backend {
  readonly seen: Seen[] = [];
  readonly name: string;
  readonly server: Server;
  answer: Answer;

  constructor(name: string) {
    this.name = name;
    this.answer = (_request, response) => response.end(name);
    this.server = createServer((incoming, response) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("error", () => undefined);
      incoming.on("end", () => {
        const request = {
          method: incoming.method ?? "",
          url: incoming.url ?? "",
          headers: incoming.rawHeaders,
          body: Buffer.concat(chunks),
        };
        this.seen.push(request);
        this.answer(request, response, incoming);
      });
    });
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async start(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(port, "127.0.0.1", resolve));
    return this;
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await closed;
  }
}

/** A backend below HTTP, for answers that no HTTP library would send. */
export async function startRaw(
  onConnection: (socket: Socket) => void,
): Promise<{ port: number; sockets: () => number; stop: () => Promise<void> }> {
  const open = new Set<Socket>();
  const server: TcpServer = createTcpServer((socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => undefined);
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    sockets: () => open.size,
    stop: async () => {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** A port that nobody listens on. */
export async function closedPort(): Promise<number> {
  const { port, stop } = await startRaw(() => undefined);
  await stop();
  return port;
}
