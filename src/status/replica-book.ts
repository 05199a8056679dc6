import type { RawObject } from "../kube/list-watch.ts";
import type { ReplicaReport } from "../routing/programmed.ts";
import { readListeners } from "./listener-report.ts";

export const SERVED_THROUGH = "serviceroute.dev/served-through";
export const LISTENERS = "serviceroute.dev/listeners";
/** A replica that has not been heard of for this long serves nobody that we know of. */
export const LIFETIME_MS = 15_000;
const BURIAL_MS = 60_000;
/** A Lease found at start whose renewal is longer ago than this, by the clock of its writer, is taken for dead until it changes. */
const CLOCK_SKEW_MS = 60_000;

interface ReplicaLease extends RawObject {
  readonly metadata?: RawObject["metadata"] & { readonly annotations?: Readonly<Record<string, string>> };
  readonly spec?: { readonly holderIdentity?: string; readonly renewTime?: string };
}

interface Known {
  readonly report: ReplicaReport;
  readonly version: string;
  /** When it changed last, as seen from here; long ago for one that was old when it was found. */
  readonly seenAt: number;
  /** The same for its burial, which nobody gets before they have been watched for long enough. */
  readonly since: number;
}

export interface ReplicaBookParts {
  /** Of this replica, whose own Lease says nothing new. */
  readonly identity: string;
  /** How often a replica speaks; a watch that brings nothing for half as long again is silent. */
  readonly heartbeatMs: number;
  /** Milliseconds that never jump. */
  readonly monotonic: () => number;
  /** Milliseconds since 1970: only old Leases that were there before us are judged by it. */
  readonly now: () => number;
}

/** What the Leases of the other replicas say, and which of them are alive by what is seen here, not by their clocks. */
export class ReplicaBook {
  readonly #parts: ReplicaBookParts;
  readonly #others = new Map<string, Known>();
  /** When the watch said anything last; before the first list nothing is known of the others. */
  #heardAt = Number.NEGATIVE_INFINITY;
  #isCutOff = false;

  constructor(parts: ReplicaBookParts) {
    this.#parts = parts;
  }

  /** These are all Leases that there are. */
  replace(items: readonly RawObject[]): void {
    this.#heard();
    const present = new Set(items.map((item) => item.metadata?.name ?? ""));
    for (const name of this.#others.keys()) if (!present.has(name)) this.#others.delete(name);
    for (const item of items) this.#see(item);
  }

  changed(events: readonly { readonly type: string; readonly object: RawObject }[]): void {
    this.#heard();
    for (const { type, object } of events) {
      if (type === "DELETED") this.#others.delete(object.metadata?.name ?? "");
      else this.#see(object);
    }
  }

  /** Until the next list nothing is known: of those that died meanwhile nor of those that came. */
  cutOff(): void {
    this.#isCutOff = true;
  }

  /** Reports by Lease and version; undefined while it is the watch that says nothing: nobody is dead for that. */
  alive(): ReadonlyMap<string, ReplicaReport> | undefined {
    if (this.#hearsNothing(this.#parts.monotonic())) return undefined;
    const alive = [...this.#others].filter(([, known]) => this.#isAlive(known));
    return new Map(alive.map(([name, { version, report }]) => [`${name} ${version}`, report]));
  }

  /** Leases of replicas that are long gone, each handed out once, with the version to remove. */
  takeDead(): { readonly name: string; readonly version: string }[] {
    const now = this.#parts.monotonic();
    if (this.#hearsNothing(now)) return [];
    const dead = [...this.#others].filter(([, { since }]) => now - since > BURIAL_MS);
    for (const [name] of dead) this.#others.delete(name);
    return dead.map(([name, { version }]) => ({ name, version }));
  }

  /** A Lease that was there when we came counts for its lifetime, unless even its writer's clock says that it is old. */
  #see(raw: RawObject): void {
    const { metadata, spec } = raw as ReplicaLease;
    const replica = spec?.holderIdentity ?? "";
    const annotations = metadata?.annotations ?? {};
    const servedThrough = asVersion(annotations[SERVED_THROUGH]);
    if (replica === "" || replica === this.#parts.identity || servedThrough === undefined) return;
    const name = metadata?.name ?? "";
    const version = metadata?.resourceVersion ?? "";
    const known = this.#others.get(name);
    if (known?.version === version) return;
    const isOld = known === undefined && this.#parts.now() - Date.parse(spec?.renewTime ?? "") > CLOCK_SKEW_MS;
    const since = this.#parts.monotonic();
    const report = { replica, servedThrough, listeners: readListeners(annotations[LISTENERS]) };
    this.#others.set(name, { report, version, seenAt: isOld ? Number.NEGATIVE_INFINITY : since, since });
  }

  /** Dead is who is silent while the watch is not. */
  #isAlive({ seenAt }: Known): boolean {
    return this.#heardAt - seenAt <= LIFETIME_MS;
  }

  #hearsNothing(now: number): boolean {
    return this.#isCutOff || now - this.#heardAt > LIFETIME_MS;
  }

  /**
   * After a silence all are given its time back: they were as cut off from us as we from them. Not the whole of it, or short
   * silences without end would keep the dead.
   */
  #heard(): void {
    const { monotonic, heartbeatMs } = this.#parts;
    const now = monotonic();
    const missed = now - this.#heardAt;
    if (this.#isCutOff || missed > 1.5 * heartbeatMs) {
      const back = Math.max(0, missed - heartbeatMs / 2);
      for (const [name, known] of this.#others) {
        const { seenAt, since } = known;
        this.#others.set(name, { ...known, seenAt: seenAt + back, since: since + back });
      }
    }
    this.#heardAt = now;
    this.#isCutOff = false;
  }
}

function asVersion(text: string | undefined): bigint | undefined {
  return text !== undefined && /^[0-9]+$/.test(text) ? BigInt(text) : undefined;
}
