import type { ApiClient } from "../kube/api-client.ts";
import { pause } from "../kube/backoff.ts";
import { KubeError, asKubeError } from "../kube/kube-error.ts";
import type { Logger } from "../telemetry/logger.ts";

/** Client-go's defaults: a lease lasts 15 s, its holder renews it each 2 s and gives up after 10 s without. */
const LEASE_SECONDS = 15;
const RENEW_DEADLINE_MS = 10_000;
const RETRY_MS = 2000;
/** Who does not lead looks more often than the holder renews, so that little is lost between a death and its notice. */
const LOOK_MS = 1000;
const NOT_YET_MS = 200;
const JITTER = 0.2;
/** Shorter than the deadline, so that one lost request does not cost the lead. */
const REQUEST_MS = 4000;
const RELEASE_MS = 2000;

interface Lease {
  readonly metadata: { readonly resourceVersion?: string; readonly name: string; readonly namespace: string };
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly renewTime?: string;
    readonly acquireTime?: string;
    readonly leaseTransitions?: number;
  };
}

export interface LeaderParts {
  readonly client: ApiClient;
  readonly namespace: string;
  readonly name: string;
  readonly identity: string;
  readonly log: Logger;
  readonly random: () => number;
  /** Milliseconds of a clock that never goes back. Wall time plays no part in who leads (F14). */
  readonly monotonic: () => number;
  /** One that does not know the cluster yet does not take the lead from one that does. */
  readonly mayLead: () => boolean;
}

/**
 * Leader election over one Lease. Who holds it is judged by changes seen from here on the monotonic clock, and our own
 * hold ends by that clock too: after a stall or a lost connection `isLeader` is false before anything can be written.
 */
export class Leader {
  readonly #parts: LeaderParts;
  #renewedAt = Number.NEGATIVE_INFINITY;
  /** The Lease as it was when it changed last, and for how many milliseconds from then on it holds. */
  #seen = { version: "", at: 0, lasts: 0 };
  #held: Lease | undefined;
  #told = false;

  constructor(parts: LeaderParts) {
    this.#parts = parts;
  }

  get isLeader(): boolean {
    return this.#parts.monotonic() - this.#renewedAt < RENEW_DEADLINE_MS;
  }

  async start(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#parts.mayLead()) await this.#round(signal);
      else await this.#release();
      this.#tell();
      await pause(this.#waitMs() * (1 + JITTER * this.#parts.random()), signal);
    }
    await this.#release();
  }

  /** Not beyond the end of the lease that is waited for. */
  #waitMs(): number {
    if (!this.#parts.mayLead()) return NOT_YET_MS;
    if (this.isLeader) return RETRY_MS;
    const left = this.#seen.at + this.#seen.lasts - this.#parts.monotonic();
    return left > 0 && left < LOOK_MS ? left + NOT_YET_MS / 2 : LOOK_MS;
  }

  async #round(signal: AbortSignal): Promise<void> {
    const started = this.#parts.monotonic();
    const limited = (): AbortSignal => AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]);
    try {
      const lease = await this.#read(limited());
      if (lease === undefined) this.#held = await this.#create(limited());
      else if (this.#mayTake(lease)) this.#held = await this.#write(lease, this.#parts.identity, limited());
      else return;
      this.#renewedAt = started;
    } catch (error) {
      const { code, message } = asKubeError(error);
      if (code !== "conflict" && !signal.aborted)
        this.#parts.log.warn({ err: message, code }, "leader election could not ask the API server");
    }
  }

  #mayTake(lease: Lease): boolean {
    const holder = lease.spec?.holderIdentity ?? "";
    const version = lease.metadata.resourceVersion ?? "";
    const now = this.#parts.monotonic();
    const lasts = (lease.spec?.leaseDurationSeconds ?? LEASE_SECONDS) * 1000;
    if (this.#seen.version !== version) this.#seen = { version, at: now, lasts };
    if (holder === this.#parts.identity || holder === "") return true;
    return now - this.#seen.at > lasts;
  }

  get #path(): string {
    return `/apis/coordination.k8s.io/v1/namespaces/${this.#parts.namespace}/leases`;
  }

  async #read(signal: AbortSignal): Promise<Lease | undefined> {
    try {
      return await this.#parts.client.json<Lease>({ method: "GET", path: `${this.#path}/${this.#parts.name}`, signal });
    } catch (error) {
      if (error instanceof KubeError && error.code === "notFound") return undefined;
      throw error;
    }
  }

  #spec(lease: Lease | undefined, holder: string): NonNullable<Lease["spec"]> {
    const now = new Date().toISOString().replace("Z", "000Z");
    const same = lease?.spec?.holderIdentity === holder;
    return {
      holderIdentity: holder,
      leaseDurationSeconds: holder === "" ? 1 : LEASE_SECONDS,
      renewTime: now,
      acquireTime: same ? (lease.spec.acquireTime ?? now) : now,
      leaseTransitions: (lease?.spec?.leaseTransitions ?? 0) + (same || lease === undefined ? 0 : 1),
    };
  }

  async #create(signal: AbortSignal): Promise<Lease> {
    const { client, namespace, name, identity } = this.#parts;
    const body = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name, namespace },
      spec: this.#spec(undefined, identity),
    };
    return client.json<Lease>({ method: "POST", path: this.#path, body, signal });
  }

  /** A PUT with the version that was read: of two that try, one gets a conflict. */
  async #write(lease: Lease, holder: string, signal: AbortSignal): Promise<Lease> {
    const body = { ...lease, spec: this.#spec(lease, holder) };
    return this.#parts.client.json<Lease>({
      method: "PUT",
      path: `${this.#path}/${this.#parts.name}`,
      body,
      signal,
    });
  }

  /** On the way out the next leader need not wait. */
  async #release(): Promise<void> {
    if (!this.isLeader || this.#held === undefined) return;
    this.#renewedAt = Number.NEGATIVE_INFINITY;
    const held = this.#held;
    this.#held = undefined;
    await this.#giveBack(held, AbortSignal.timeout(RELEASE_MS)).catch((error: unknown) =>
      this.#parts.log.warn({ err: error }, "the lease could not be released; it runs out by itself"),
    );
    this.#tell();
  }

  async #giveBack(held: Lease, signal: AbortSignal): Promise<void> {
    try {
      await this.#write(held, "", signal);
    } catch (error) {
      if (asKubeError(error).code !== "conflict") throw error;
      // A renewal that was cut off on the way out may have been taken all the same.
      const lease = await this.#read(signal);
      if (lease?.spec?.holderIdentity === this.#parts.identity) await this.#write(lease, "", signal);
    }
  }

  #tell(): void {
    if (this.#told === this.isLeader) return;
    this.#told = this.isLeader;
    this.#parts.log.info({ leading: this.#told }, this.#told ? "leading: writing statuses" : "not leading");
  }
}
