import type { ActiveHealth } from "../../routing/cluster-policy.ts";
import { probe } from "./health-probe.ts";
import type { Host } from "./host.ts";

const TIMEOUT_MS = 1000;
/** So many times in a row an endpoint must be out of reach; one good answer makes it well again. */
const UNREACHABLE_LIMIT = 3;

/** Asks the endpoints of one cluster at an interval whether they are well, from its first request on. */
export class HealthChecker {
  readonly #policy: ActiveHealth;
  readonly #hosts: () => readonly Host[];
  readonly #changed: (host: Host, isWell: boolean) => void;
  readonly #unreachable = new WeakMap<Host, number>();
  readonly #asked = new WeakSet<Host>();
  readonly #timer: NodeJS.Timeout;

  /** @param hosts  Those that there are at the time. */
  constructor(policy: ActiveHealth, hosts: () => readonly Host[], changed: (host: Host, isWell: boolean) => void) {
    this.#policy = policy;
    this.#hosts = hosts;
    this.#changed = changed;
    this.#timer = setInterval(() => this.#round(), policy.intervalMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #round(): void {
    for (const host of this.#hosts()) if (!this.#asked.has(host)) void this.#ask(host);
  }

  async #ask(host: Host): Promise<void> {
    this.#asked.add(host);
    const result = await probe(host, this.#policy, TIMEOUT_MS);
    this.#asked.delete(host);
    const missed = result === "unreachable" ? (this.#unreachable.get(host) ?? 0) + 1 : 0;
    this.#unreachable.set(host, missed);
    const isWell = result === "well" || (result === "unreachable" && missed < UNREACHABLE_LIMIT && host.isWell);
    if (isWell === host.isWell) return;
    host.isWell = isWell;
    this.#changed(host, isWell);
  }
}
