import { type RemoteInfo, type Socket, createSocket } from "node:dgram";
import { isIPv6 } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { authorityOf } from "../../routing/endpoints.ts";
import { ANY_HOST } from "../../routing/hostname.ts";
import type { Listener } from "../../routing/listener.ts";
import { connectionRule } from "../connection-rule.ts";
import { Binding } from "../downstream/binding.ts";
import type { BoundServer, SocketHandlers } from "../downstream/bound-server.ts";
import { guarded } from "../downstream/guarded.ts";
import type { GatewayContext } from "../gateway-context.ts";
import { withoutLookup } from "./lookup.ts";
import { MOST_UNSENT, UdpSession } from "./udp-session.ts";

/** While draining: datagrams have no end, but silence. */
const QUIET_MS = 2000;
const LOOK_MS = 50;
/** Bytes that may wait for this process, as far as the system allows: it takes longer over some things than datagrams come in bursts. */
const RECEIVE_BUFFER = 4 * 1024 * 1024;
const LOST = { destroy: () => undefined };

/** One bound address and port of a UDP listener. Clients are told apart by address and port. */
export class UdpServer implements BoundServer {
  readonly protocol = "UDP";
  readonly #context: GatewayContext;
  readonly #handlers: Pick<SocketHandlers, "listeners">;
  readonly #socket: Socket;
  readonly #binding: Binding;
  /** By client; who has been heard of last comes last. */
  readonly #sessions = new Map<string, UdpSession>();
  #heardAt = 0;
  #isBound = false;
  #isClosed = false;

  constructor(
    first: Listener,
    context: GatewayContext,
    handlers: Pick<SocketHandlers, "listeners" | "changed" | "ports" | "defect">,
  ) {
    this.#context = context;
    this.#handlers = handlers;
    const { address, bindPort } = first;
    this.#socket = createSocket({
      type: isIPv6(address) ? "udp6" : "udp4",
      lookup: withoutLookup,
      recvBufferSize: RECEIVE_BUFFER,
      // By it the system gives each client to one process, always the same.
      reusePort: handlers.ports !== undefined,
    });
    this.#socket.on("listening", () => (this.#isBound = true));
    // A datagram that we cannot serve is lost, as datagrams are.
    this.#socket.on("message", (bytes, from) => guarded(LOST, handlers.defect, () => this.#take(bytes, from)));
    const bindable = {
      events: this.#socket,
      bind: () => void this.#socket.bind({ address, port: bindPort, exclusive: true }),
      isBound: () => this.#isBound,
    };
    this.#binding = new Binding(bindable, first, handlers);
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  listen(): void {
    this.#binding.listen();
  }

  useDefault(): void {
    // There is no TLS over datagrams.
  }

  /** Datagrams that still come are still served: nothing tells their clients to go elsewhere. */
  async drain(): Promise<void> {
    this.#binding.stop();
    const isQuiet = (): boolean => performance.now() - this.#heardAt >= QUIET_MS;
    while (!this.#isClosed && this.#handlers.listeners().length > 0 && !isQuiet()) await sleep(LOOK_MS);
    this.destroy();
  }

  destroy(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const session of this.#sessions.values()) session.end();
    this.#socket.close();
  }

  #take(bytes: Buffer, { address, port }: RemoteInfo): void {
    const [listener] = this.#handlers.listeners();
    // Nothing can be sent back to port 0.
    if (listener === undefined || port === 0) return;
    if (this.#context.ownEnds.has({ address, port }, listener.bindPort, "UDP"))
      return this.#context.observe.session("LoopDetected");
    this.#heardAt = performance.now();
    const client = authorityOf({ address, port });
    const rule = connectionRule(this.#context.table, listener.id, ANY_HOST);
    const known = this.#sessions.get(client);
    if (known?.maySend(rule) === false) known.end();
    const session =
      this.#sessions.get(client) ??
      UdpSession.open(this.#context, rule, {
        answered: (answer) => this.#answer(answer, address, port),
        ended: () => this.#sessions.delete(client),
      });
    if (typeof session === "string") return this.#context.observe.session(session);
    if (session.isOver) return this.#context.observe.session("ConnectFailure");
    if (session !== known) this.#context.observe.session("Proxied");
    this.#heardOf(client, session);
    session.send(bytes);
  }

  /** Who has been silent for longest makes room: clients that only come once, or never were, do not shut others out. */
  #heardOf(client: string, session: UdpSession): void {
    this.#sessions.delete(client);
    this.#sessions.set(client, session);
    const most = this.#context.options.maxConnections;
    if (most === 0 || this.#sessions.size <= most) return;
    const [silent] = this.#sessions.values();
    silent?.end();
  }

  #answer(bytes: Buffer, address: string, port: number): void {
    this.#heardAt = performance.now();
    if (this.#socket.getSendQueueSize() <= MOST_UNSENT) this.#socket.send(bytes, port, address, () => undefined);
  }
}
