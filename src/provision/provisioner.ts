import type { KubeObject } from "../api/objects.ts";
import type { ApiClient } from "../kube/api-client.ts";
import { Backoff, pause } from "../kube/backoff.ts";
import { asKubeError } from "../kube/kube-error.ts";
import type { Endpoint } from "../routing/endpoints.ts";
import type { Logger } from "../telemetry/logger.ts";
import {
  type Ports,
  type WantedService,
  assignPorts,
  idOf,
  isService,
  isSlice,
  serviceObject,
  sliceObject,
} from "./gateway-services.ts";

const LOOK_MS = 1000;
/** What was applied comes back over the watch; only when it does not has somebody else changed it. */
const SETTLE_MS = 2000;
/** The longest between two answers to whoever keeps changing it, and after how long of peace one is taken for the first. */
const TRUCE_MS = 60_000;
/** A webhook that does not answer is given up after this. */
const APPLY_MS = 5000;
const IN_FLIGHT = 16;
const FIELD_MANAGER = "serviceroute";

export interface ProvisionerParts {
  readonly client: ApiClient;
  readonly log: Logger;
  readonly random: () => number;
  readonly monotonic: () => number;
  readonly isLeader: () => boolean;
  readonly wanted: () => readonly WantedService[];
  /** Container ports that the Services of all Gateways lead to, of those too that are not wanted now, by `namespace/service`. */
  readonly livePorts: () => ReadonlyMap<string, Ports>;
  readonly liveService: (namespace: string, name: string) => KubeObject<"Service"> | undefined;
  readonly liveSlice: (namespace: string, name: string) => KubeObject<"EndpointSlice"> | undefined;
  /** Our own pods that take new connections. */
  readonly pods: () => readonly Endpoint[];
}

interface Applied {
  readonly text: string;
  readonly at: number;
  /** How long nothing else is applied over what somebody else makes of it. */
  readonly settleMs: number;
}

interface Call {
  readonly path: string;
  readonly body: object;
  readonly text: string;
}

/** Keeps a Service and its endpoints for each Gateway, by server-side apply, as the leader. Deletion is the garbage collector's. */
export class Provisioner {
  readonly #parts: ProvisionerParts;
  /** What was applied last, by Service and then by path. */
  readonly #applied = new Map<string, Map<string, Applied>>();
  #assigned: ReadonlyMap<string, Ports> = new Map();
  /** Gateways whose Service was refused: when to try again. */
  readonly #refused = new Map<string, { readonly backoff: Backoff; until: number }>();
  /** Services that are being applied. */
  readonly #busy = new Set<string>();
  /** Whether some wait for one of these to end. */
  #isFull = false;
  #wake: () => void = () => undefined;

  constructor(parts: ProvisionerParts) {
    this.#parts = parts;
  }

  /** Something that it depends on may have changed. */
  changed(): void {
    this.#wake();
  }

  async start(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const woken = new AbortController();
      this.#wake = () => woken.abort();
      if (this.#parts.isLeader()) this.#round(signal);
      else this.#forget();
      await pause(LOOK_MS, AbortSignal.any([signal, woken.signal]));
    }
  }

  #round(signal: AbortSignal): void {
    const wanted = this.#parts.wanted();
    this.#assigned = assignPorts(wanted, this.#parts.livePorts(), this.#assigned);
    this.#forgetAllBut(new Set(wanted.map(idOf)));
    this.#isFull = false;
    for (const one of wanted) {
      const name = idOf(one);
      const calls = this.#busy.has(name) ? [] : this.#due(one, this.#assigned.get(name));
      if (calls.length === 0) continue;
      this.#isFull = this.#busy.size >= IN_FLIGHT;
      if (this.#isFull) return;
      this.#busy.add(name);
      void this.#provision(name, calls, signal).finally(() => {
        this.#busy.delete(name);
        if (this.#isFull) this.#wake();
      });
    }
  }

  /** What is to be applied: what differs from what was applied last, and what somebody else has changed or removed since. */
  #due(one: WantedService, ports: Ports = new Map()): readonly Call[] {
    const { monotonic, pods, liveService, liveSlice } = this.#parts;
    const { namespace, service } = one;
    if (ports.size === 0 || monotonic() < (this.#refused.get(idOf(one))?.until ?? 0)) return [];
    const [live, slice] = [liveService(namespace, service), liveSlice(namespace, service)];
    const [serviceBody, sliceBody] = [serviceObject(one, ports), sliceObject(one, ports, pods())];
    const both = [
      {
        path: `/api/v1/namespaces/${namespace}/services/${service}`,
        body: serviceBody,
        isThere: live !== undefined && isService(live, serviceBody),
      },
      {
        path: `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices/${service}`,
        body: sliceBody,
        isThere: slice !== undefined && isSlice(slice, sliceBody),
      },
    ];
    return both.flatMap(({ path, body, isThere }): Call[] => {
      const text = JSON.stringify(body);
      const last = this.#applied.get(idOf(one))?.get(path);
      const isSame = last?.text === text;
      return isSame && (isThere || monotonic() - last.at < last.settleMs) ? [] : [{ path, body, text }];
    });
  }

  /** What is refused of one Gateway, by a quota or a webhook, or takes its time there, holds up no other. */
  async #provision(name: string, calls: readonly Call[], signal: AbortSignal): Promise<void> {
    const { log, random, monotonic } = this.#parts;
    try {
      for (const call of calls) {
        if (!this.#parts.isLeader()) return;
        await this.#apply(name, call, signal);
      }
      this.#refused.delete(name);
    } catch (error) {
      if (signal.aborted) return;
      const { backoff } = this.#refused.get(name) ?? { backoff: new Backoff(random) };
      this.#refused.set(name, { backoff, until: monotonic() + backoff.next() });
      const { message } = asKubeError(error);
      log.warn({ service: name, err: message }, "the Service of a Gateway could not be applied; trying again");
    }
  }

  #forgetAllBut(wanted: ReadonlySet<string>): void {
    for (const name of this.#refused.keys()) if (!wanted.has(name)) this.#refused.delete(name);
    for (const name of this.#applied.keys()) if (!wanted.has(name)) this.#applied.delete(name);
  }

  /** Over what somebody else has made of it as well: a webhook or a controller that always does is answered less and less often. */
  async #apply(name: string, { path, body, text }: Call, signal: AbortSignal): Promise<void> {
    const { client, log, monotonic } = this.#parts;
    const applied = this.#applied.get(name) ?? new Map<string, Applied>();
    const last = applied.get(path);
    const now = monotonic();
    await client.json({
      method: "PATCH",
      path,
      query: { fieldManager: FIELD_MANAGER, force: "true" },
      contentType: "application/apply-patch+yaml",
      body,
      signal: AbortSignal.any([signal, AbortSignal.timeout(APPLY_MS)]),
    });
    const again = last?.text === text;
    const isFight = again && now - last.at < 2 * TRUCE_MS;
    const settleMs = isFight ? Math.min(2 * last.settleMs, TRUCE_MS) : SETTLE_MS;
    if (again)
      log.warn({ path, settleMs }, "somebody else has changed what belongs to a Gateway; it was applied again");
    this.#applied.set(name, applied.set(path, { text, at: now, settleMs }));
  }

  /** Whoever leads meanwhile may apply something else. */
  #forget(): void {
    this.#applied.clear();
    this.#assigned = new Map();
  }
}
