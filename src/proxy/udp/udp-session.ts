import { type Socket, createSocket } from "node:dgram";
import { isIPv6 } from "node:net";
import { type EndpointSet, authorityOf } from "../../routing/endpoints.ts";
import { type ReasonWord, type RouteRule, receiversOf } from "../../routing/rule.ts";
import { type ConnectionReceiver, connectionReceiver } from "../connection-rule.ts";
import type { GatewayContext } from "../gateway-context.ts";
import type { Place } from "../upstream/circuit-breaker.ts";
import type { Host } from "../upstream/host.ts";
import { withoutLookup } from "./lookup.ts";

/** Datagrams that wait while the socket is being made. */
const MOST_WAITING = 64;
/** Bytes that the system has not taken yet; what comes on top is lost, as datagrams are where a line is full. */
export const MOST_UNSENT = 4 * 1024 * 1024;
/** No descriptors, memory or ports left. */
const OURS = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EADDRNOTAVAIL", "EADDRINUSE"]);

interface Chosen extends Pick<ConnectionReceiver, "rule" | "target" | "cluster"> {
  readonly host: Host;
  readonly place: Place;
}

export interface SessionEvents {
  /** A datagram of the endpoint, for the client. */
  readonly answered: (bytes: Buffer) => void;
  /** Called once. */
  readonly ended: () => void;
}

function choose(context: GatewayContext, rule: RouteRule | undefined): Chosen | ReasonWord {
  if (context.overload.sheds(context.random())) return "Overloaded";
  const receiver = connectionReceiver(context, rule);
  if (typeof receiver === "string") return receiver;
  const { target, cluster } = receiver;
  const endpoints = context.table.endpoints.get(target.endpoints);
  const host = cluster.pick(endpoints);
  if (host === undefined) return (endpoints?.usable.length ?? 0) === 0 ? "NoEndpoints" : "NoHealthyEndpoints";
  // Datagrams do not wait in line: late ones are worth less than lost ones.
  const place = cluster.enter(() => place?.leave());
  if (place?.mayStart === true) return { ...receiver, host, place };
  place?.leave();
  return "CircuitOpen";
}

/** Datagrams of one client, all to the same endpoint, and back what that answers. */
export class UdpSession {
  readonly #context: GatewayContext;
  readonly #chosen: Chosen;
  readonly #events: SessionEvents;
  readonly #socket: Socket;
  readonly #idle: NodeJS.Timeout | undefined;
  #rule: RouteRule;
  #endpoints: EndpointSet | undefined;
  #waiting: Buffer[] | undefined = [];
  #forget = (): void => undefined;
  #over = false;

  /** @returns The session, or why there is none. */
  static open(context: GatewayContext, rule: RouteRule | undefined, events: SessionEvents): UdpSession | ReasonWord {
    const chosen = choose(context, rule);
    return typeof chosen === "string" ? chosen : new UdpSession(context, chosen, events);
  }

  private constructor(context: GatewayContext, chosen: Chosen, events: SessionEvents) {
    this.#context = context;
    this.#rule = chosen.rule;
    this.#chosen = chosen;
    this.#events = events;
    const { host, target } = chosen;
    this.#endpoints = context.table.endpoints.get(target.endpoints);
    host.tunnels++;
    const { idleTimeoutMs } = chosen.rule.policy;
    this.#idle = idleTimeoutMs === 0 ? undefined : setTimeout(() => this.end(), idleTimeoutMs);
    const { address, port } = host.endpoint;
    this.#socket = createSocket({ type: isIPv6(address) ? "udp6" : "udp4", lookup: withoutLookup });
    this.#socket
      .on("error", (error: NodeJS.ErrnoException) => this.#failed(error))
      .on("connect", () => this.#connected())
      .on("message", (bytes) => this.#answered(bytes));
    // Connected, so that only the endpoint is heard, and its system can say that nobody listens there.
    this.#socket.connect(port, address);
  }

  /** One may be over as soon as it is made, for want of a socket. */
  get isOver(): boolean {
    return this.#over;
  }

  /** Whether it may go on under what its listener's rule is now: its backend is still one, and its endpoint can be asked. */
  maySend(rule: RouteRule | undefined): boolean {
    const { target, host } = this.#chosen;
    if (rule !== this.#rule) {
      if (
        rule?.action.kind !== "forward" ||
        !receiversOf(rule.action).some((one) => one.target.kind === "cluster" && one.target.state === target.state)
      )
        return false;
      this.#rule = rule;
    }
    const endpoints = this.#context.table.endpoints.get(target.endpoints);
    if (endpoints !== this.#endpoints) {
      const { authority } = host.pool;
      if (endpoints?.usable.some((one) => authorityOf(one) === authority) !== true) return false;
      this.#endpoints = endpoints;
    }
    return host.isHealthy(performance.now());
  }

  send(bytes: Buffer): void {
    this.#idle?.refresh();
    if (this.#waiting === undefined) this.#pass(bytes);
    else if (this.#waiting.length < MOST_WAITING) this.#waiting.push(bytes);
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#idle);
    this.#chosen.host.tunnels--;
    this.#chosen.place.leave();
    this.#forget();
    this.#socket.close();
    this.#events.ended();
  }

  #connected(): void {
    if (this.#over) return;
    this.#forget = this.#context.ownEnds.add(this.#socket.address(), this.#chosen.host.endpoint.port, "UDP");
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const bytes of waiting) this.#pass(bytes);
  }

  #pass(bytes: Buffer): void {
    if (this.#socket.getSendQueueSize() > MOST_UNSENT) return;
    this.#socket.send(bytes, (error) => {
      const refusal: NodeJS.ErrnoException | null = error;
      if (refusal?.code === "ECONNREFUSED") this.#failed(refusal);
    });
  }

  #answered(bytes: Buffer): void {
    if (this.#over) return;
    this.#idle?.refresh();
    this.#chosen.cluster.succeeded(this.#chosen.host);
    this.#events.answered(bytes);
  }

  /** The client's next datagram is for another endpoint, if nobody listens at this one; a want of our own is none of its. */
  #failed({ code = "" }: NodeJS.ErrnoException): void {
    if (this.#over) return;
    if (!OURS.has(code)) this.#chosen.cluster.failed(this.#chosen.host, true);
    this.end();
  }
}
