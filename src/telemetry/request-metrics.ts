import { Counter, Gauge, Histogram, type Registry } from "prom-client";

export const FAST_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const PER_ROUTE_SECONDS = [0.005, 0.025, 0.1, 0.5, 2.5, 10];
/** Beyond so many rules and backends the rest is counted together, so that no tenant can fill a monitoring system. */
const MOST_LABELLED = 1000;
const OTHER = { route: "other", rule: "other", backend: "other" };

/** What a request was served by. Each comes from a manifest, never from a client (F43). */
export interface ServedBy {
  readonly route: string;
  readonly rule: string;
  /** Empty where the gateway answered itself. */
  readonly backend: string;
}

/** How many there are now. */
export interface Clients {
  readonly connections: number;
  readonly sessions: number;
}

const classOf = (status: number): string => (status === 0 ? "none" : `${Math.floor(status / 100)}xx`);

/** Metrics of requests. */
export class RequestMetrics {
  readonly #requests: Counter<"code">;
  readonly #failures: Counter<"reason">;
  readonly #duration: Histogram;
  readonly #routed: Histogram<"route" | "rule" | "backend" | "code">;
  readonly #retries: Counter;
  readonly #health: Counter<"change">;
  readonly #streams: Counter<"outcome">;
  readonly #sessions: Counter<"outcome">;
  readonly #rejected: Counter;
  readonly #lostLines: Counter;
  readonly #labelled = new Map<string, Map<string, ServedBy>>();
  #labelledCount = 0;
  #clients: Clients = { connections: 0, sessions: 0 };

  constructor(registry: Registry) {
    const registers = [registry];
    this.#requests = new Counter({
      name: "serviceroute_http_requests_total",
      help: "Requests, by class of status; none: the client went away before an answer.",
      labelNames: ["code"],
      registers,
    });
    this.#failures = new Counter({
      name: "serviceroute_gateway_answers_total",
      help: "Answers that the gateway made itself, by reason.",
      labelNames: ["reason"],
      registers,
    });
    this.#duration = new Histogram({
      name: "serviceroute_http_request_duration_seconds",
      help: "From a request's arrival to the end of its answer.",
      buckets: FAST_SECONDS,
      registers,
    });
    this.#routed = new Histogram({
      name: "serviceroute_route_request_duration_seconds",
      help: "The same by route, rule, backend and class of status; of the first 1,000 of them, the rest is named other.",
      labelNames: ["route", "rule", "backend", "code"],
      buckets: PER_ROUTE_SECONDS,
      registers,
    });
    this.#retries = new Counter({ name: "serviceroute_retries_total", help: "Tries after the first.", registers });
    this.#health = new Counter({
      name: "serviceroute_endpoint_health_changes_total",
      help: "Endpoints that were ejected for failing requests, or that checks found unwell, or well again.",
      labelNames: ["change"],
      registers,
    });
    this.#streams = new Counter({
      name: "serviceroute_tcp_connections_total",
      help: "Connections of TCP and TLS listeners: Proxied, or the reason why they were refused.",
      labelNames: ["outcome"],
      registers,
    });
    this.#sessions = new Counter({
      name: "serviceroute_udp_sessions_total",
      help: "Clients of UDP listeners that were given an endpoint: Proxied, or why a datagram of one was dropped.",
      labelNames: ["outcome"],
      registers,
    });
    this.#rejected = new Counter({
      name: "serviceroute_connections_rejected_total",
      help: "Connections of clients that were closed because there were too many.",
      registers,
    });
    this.#lostLines = new Counter({
      name: "serviceroute_log_lines_dropped_total",
      help: "Log lines that were lost because nobody read the log.",
      registers,
    });
    this.#gauge(registers, "serviceroute_connections", "Connections of clients that are open.", "connections");
    this.#gauge(registers, "serviceroute_udp_sessions", "Clients of UDP listeners that have an endpoint.", "sessions");
  }

  #gauge(registers: Registry[], name: string, help: string, of: keyof Clients): void {
    const count = (): number => this.#clients[of];
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(count());
      },
    });
  }

  /** @param status  0 when nothing was answered. */
  answered(status: number, seconds: number): void {
    this.#requests.inc({ code: classOf(status) });
    this.#duration.observe(seconds);
  }

  /** @param isServed  Asked of what is new: a request may outlive its route, which must not bring its series back. */
  routed(by: ServedBy, status: number, seconds: number, isServed: (by: ServedBy) => boolean): void {
    this.#routed.observe({ ...this.#label(by, isServed), code: classOf(status) }, seconds);
  }

  /** A route has changed or gone: the series of what it no longer has go with that, and make room for others. */
  keepOnly(route: string, isServed: (by: ServedBy) => boolean): void {
    const known = this.#labelled.get(route);
    if (known === undefined) return;
    for (const [id, by] of known) {
      if (isServed(by)) continue;
      known.delete(id);
      this.#labelledCount--;
      for (const code of ["none", "1xx", "2xx", "3xx", "4xx", "5xx"]) this.#routed.remove({ ...by, code });
    }
    if (known.size === 0) this.#labelled.delete(route);
  }

  /** @param clients  Asked whenever the metrics are read. */
  countClients(clients: Clients): void {
    this.#clients = clients;
  }

  gatewayAnswer(reason: string): void {
    this.#failures.inc({ reason });
  }

  retried(): void {
    this.#retries.inc();
  }

  endpointHealth(change: "ejected" | "unwell" | "well"): void {
    this.#health.inc({ change });
  }

  /** One of a TCP or TLS listener. */
  connection(outcome: string): void {
    this.#streams.inc({ outcome });
  }

  /** One of a UDP listener, or a datagram that made none. */
  session(outcome: string): void {
    this.#sessions.inc({ outcome });
  }

  connectionRejected(): void {
    this.#rejected.inc();
  }

  /** Of the access log or any other. */
  logLineDropped(): void {
    this.#lostLines.inc();
  }

  #label(by: ServedBy, isServed: (by: ServedBy) => boolean): ServedBy {
    const known = this.#labelled.get(by.route);
    const id = `${by.rule} ${by.backend}`;
    const found = known?.get(id);
    if (found !== undefined) return found;
    if (this.#labelledCount >= MOST_LABELLED || !isServed(by)) return OTHER;
    this.#labelledCount++;
    if (known === undefined) this.#labelled.set(by.route, new Map([[id, by]]));
    else known.set(id, by);
    return by;
  }
}
