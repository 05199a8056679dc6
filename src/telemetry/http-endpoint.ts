import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import { type AddressInfo, BlockList, type Socket, isIP } from "node:net";

export type Handler = (url: URL) => Promise<Reply> | Reply;
export interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

export const json = (value: unknown, status = 200): Reply => ({
  status,
  type: "application/json",
  body: `${JSON.stringify(value, replacer, 2)}\n`,
});
export const text = (body: string, status = 200): Reply => ({
  status,
  type: "text/plain; charset=utf-8",
  body: `${body}\n`,
});

/** Maps become objects; classes with secrets show themselves redacted. */
function replacer(_key: string, value: unknown): unknown {
  return value instanceof Map ? Object.fromEntries(value as Map<string, unknown>) : value;
}

export interface BoundAddress {
  readonly host: string;
  readonly port: number;
}

/** @returns undefined when `text` is no `host:port`. */
export function parseAddress(address: string): BoundAddress | undefined {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]*)):([0-9]{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) return undefined;
  return { host: match[1] ?? (match[2] === "" ? "0.0.0.0" : (match[2] ?? "")), port };
}

/** More than all who read metrics and ask for health; whoever is more takes the place of who came first. */
const MOST_CONNECTIONS = 64;
/** Of silence, an answer that nobody reads included. */
const IDLE_MS = 15_000;

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8);
LOOPBACK.addAddress("::1", "ipv6");

/** Whether only this machine reaches it. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || (isIP(host) !== 0 && LOOPBACK.check(host, isIP(host) === 4 ? "ipv4" : "ipv6"));

/** A page can have a name of its own lead here (DNS rebinding), but no address, and not this name. */
function isNoPagesOwn(authority: string): boolean {
  const [, bracketed, plain] = /^(?:\[([^\]]*)\]|([^:]*))(?::[0-9]*)?$/.exec(authority) ?? [];
  const host = (bracketed ?? plain ?? "").toLowerCase();
  return isIP(host) !== 0 || host === "localhost";
}

/**
 * A small server of exact paths that answers GET and nothing else (S7). Answers are long and requests short: each
 * connection gets one at a time.
 */
export class HttpEndpoint {
  readonly #address: BoundAddress;
  readonly #routes: ReadonlyMap<string, Handler>;
  readonly #server: Server;
  /** The oldest first. */
  readonly #open = new Set<Socket>();
  readonly #answering = new WeakSet<Socket>();
  #isLocal = false;

  constructor(address: BoundAddress, routes: Readonly<Record<string, Handler>>) {
    this.#address = address;
    this.#routes = new Map(Object.entries(routes));
    this.#server = createServer(
      { headersTimeout: 5000, requestTimeout: 10_000, maxHeaderSize: 8192, connectionsCheckingInterval: 1000 },
      (request, response) => this.#take(request, response),
    );
    this.#server.setTimeout(IDLE_MS);
    this.#server.on("connection", (socket) => this.#admit(socket));
  }

  /** @throws The system's error when the address cannot be bound. */
  async listen(): Promise<BoundAddress> {
    const { host, port } = this.#address;
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ host, port }, resolve);
    });
    const bound = this.#server.address() as AddressInfo;
    this.#isLocal = LOOPBACK.check(bound.address, bound.family === "IPv6" ? "ipv6" : "ipv4");
    return { host, port: bound.port };
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  #admit(socket: Socket): void {
    this.#open.add(socket);
    socket.once("close", () => this.#open.delete(socket));
    const [first] = this.#open;
    if (this.#open.size > MOST_CONNECTIONS) first?.destroy();
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    // Who asks again before the answer has been read would have us keep all of them.
    if (this.#answering.has(socket)) return void socket.destroy();
    this.#answering.add(socket);
    response.once("close", () => this.#answering.delete(socket));
    request.resume();
    const { method = "", url = "", headers } = request;
    if (this.#isLocal && headers.host !== undefined && !isNoPagesOwn(headers.host))
      this.#send(method, text("only localhost and addresses are answered to here", 421), response);
    else void this.#answer(method, url, response);
  }

  async #answer(method: string, target: string, response: ServerResponse): Promise<void> {
    const reply = await this.#reply(method, target).catch((error: unknown) =>
      text(error instanceof Error ? error.message : "failed", 500),
    );
    this.#send(method, reply, response);
  }

  #send(method: string, reply: Reply, response: ServerResponse): void {
    response.writeHead(reply.status, {
      "content-type": reply.type,
      "content-length": Buffer.byteLength(reply.body),
      "cache-control": "no-store",
    });
    response.end(method === "HEAD" ? undefined : reply.body);
  }

  async #reply(method: string, target: string): Promise<Reply> {
    if (method !== "GET" && method !== "HEAD") return text("only GET is answered here", 405);
    if (!URL.canParse(target, "http://endpoint")) return text("bad request", 400);
    const url = new URL(target, "http://endpoint");
    const handler = this.#routes.get(url.pathname);
    return handler === undefined ? text("not found", 404) : handler(url);
  }
}
