import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { ListenerId } from "../../routing/listener.ts";
import type { ClusterRef, ReasonWord, RouteRule } from "../../routing/rule.ts";
import { connectionReceiver, connectionRule } from "../connection-rule.ts";
import type { GatewayContext } from "../gateway-context.ts";
import { tunnel } from "../tunnel.ts";
import { connectTls } from "../upstream/backend-tls.ts";
import type { Place } from "../upstream/circuit-breaker.ts";
import type { Cluster } from "../upstream/cluster.ts";
import { type Connected, connectPlain, endpointOf } from "../upstream/connect.ts";
import type { Host } from "../upstream/host.ts";

/** A connection that cannot be made is tried once more, on another endpoint if there is one: nothing was sent. */
const MOST_TRIES = 2;

/** One connection on its way to a backend. A connection that cannot be served is reset. */
export class TcpConnection {
  readonly #context: GatewayContext;
  readonly #client: Duplex;
  /** Under TLS, if there is any. */
  readonly #socket: Socket;
  readonly #isPassthrough: boolean;
  readonly #tried = new Set<string>();
  #rule: RouteRule | undefined;
  #cluster: Cluster | undefined;
  #target: ClusterRef | undefined;
  #place: Place | undefined;
  #inLine: NodeJS.Timeout | undefined;
  #connecting: Socket | undefined;
  #failures = 0;
  #over = false;

  /**
   * @param client         Paused, with everything that has come still on it.
   * @param socket         What it comes over: itself, or the connection under its TLS.
   * @param isPassthrough  What it carries is TLS of the client's own.
   */
  constructor(context: GatewayContext, client: Duplex, socket: Socket, isPassthrough: boolean) {
    this.#context = context;
    this.#client = client;
    this.#socket = socket;
    this.#isPassthrough = isPassthrough;
    client.on("error", () => client.destroy());
    client.once("close", () => this.#finish());
  }

  /** @param host  SNI, or any host where there is none. */
  start(listener: ListenerId, host: string): void {
    const { remoteAddress: address = "", remotePort: port = 0, localPort = 0 } = this.#socket;
    if (this.#context.ownEnds.has({ address, port }, localPort, "TCP")) return this.#refuse("LoopDetected");
    const rule = connectionRule(this.#context.table, listener, host);
    const receiver = connectionReceiver(this.#context, rule);
    if (typeof receiver === "string") return this.#refuse(receiver);
    this.#rule = receiver.rule;
    this.#target = receiver.target;
    this.#cluster = receiver.cluster;
    this.#place = receiver.cluster.enter(() => {
      clearTimeout(this.#inLine);
      this.#try();
    });
    if (this.#place === undefined) return this.#refuse("CircuitOpen");
    if (this.#place.mayStart) return this.#try();
    this.#inLine = setTimeout(() => this.#refuse("CircuitOpen"), receiver.rule.policy.connectTimeoutMs);
    // Reading, as far as its buffer goes, is how one learns that a client has gone.
    this.#client.read(0);
  }

  #try(): void {
    const [cluster, target, rule] = [this.#cluster, this.#target, this.#rule];
    if (this.#over || cluster === undefined || target === undefined || rule === undefined) return;
    const endpoints = this.#context.table.endpoints.get(target.endpoints);
    const host = cluster.pick(endpoints, this.#tried);
    if (host === undefined)
      return this.#refuse((endpoints?.usable.length ?? 0) === 0 ? "NoEndpoints" : "NoHealthyEndpoints");
    this.#tried.add(host.pool.authority);
    host.tunnels++;
    const done = (...[error, socket]: Connected): void => {
      if (error === null) return this.#join(cluster, host, socket, rule);
      host.tunnels--;
      // A client that went away meanwhile says nothing of the endpoint.
      if (this.#over) return;
      cluster.failed(host, true);
      if (++this.#failures < MOST_TRIES) this.#try();
      else this.#refuse("ConnectFailure");
    };
    const address = endpointOf(host.pool.authority);
    const limitMs = rule.policy.connectTimeoutMs;
    const { tls } = target;
    // A port that says it speaks TLS is no reason to wrap what the client sends: that may be TLS already.
    this.#connecting =
      tls?.source === "policy" && !this.#isPassthrough
        ? connectTls(address, tls, { limitMs, allowHalfOpen: true }, done)
        : connectPlain(address, limitMs, done, true);
  }

  #join(cluster: Cluster, host: Host, backend: Socket, { policy }: RouteRule): void {
    cluster.succeeded(host);
    backend.once("close", () => host.tunnels--);
    const { ownEnds } = this.#context;
    const { localAddress: address = "", localPort: port = 0, remotePort = 0 } = backend;
    backend.once("close", ownEnds.add({ address, port }, remotePort, "TCP"));
    if (this.#over) return void backend.destroy();
    this.#context.observe.connection("Proxied");
    tunnel(this.#client, backend, policy.idleTimeoutMs, () => this.#finish());
  }

  #refuse(reason: ReasonWord): void {
    if (this.#over) return;
    this.#context.observe.connection(reason);
    this.#finish();
    this.#socket.resetAndDestroy();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#inLine);
    this.#place?.leave();
    if (this.#connecting?.connecting === true) this.#connecting.destroy();
  }
}
