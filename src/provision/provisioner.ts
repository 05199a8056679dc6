import type { KubeObject } from "../api/objects.ts";
import type { ApiClient } from "../kube/api-client.ts";
import { Backoff, pause } from "../kube/backoff.ts";
import { asKubeError } from "../kube/kube-error.ts";
import type { Endpoint } from "../routing/endpoints.ts";
import type { Logger } from "../telemetry/logger.ts";
import { type WantedService, assignPorts, serviceObject, sliceObject } from "./gateway-services.ts";

const LOOK_MS = 1000;
const FIELD_MANAGER = "serviceroute";

export interface ProvisionerParts {
  readonly client: ApiClient;
  readonly log: Logger;
  readonly random: () => number;
  readonly monotonic: () => number;
  readonly isLeader: () => boolean;
  readonly wanted: () => readonly WantedService[];
  readonly liveService: (namespace: string, name: string) => KubeObject<"Service"> | undefined;
  /** Our own pods that take new connections. */
  readonly pods: () => readonly Endpoint[];
}

/** Keeps a Service and its endpoints for each Gateway, by server-side apply, as the leader. Deletion is the garbage collector's. */
export class Provisioner {
  readonly #parts: ProvisionerParts;
  /** What was applied last, by Service and then by path. */
  readonly #applied = new Map<string, Map<string, string>>();
  /** Gateways whose Service was refused: when to try again. */
  readonly #refused = new Map<string, { readonly backoff: Backoff; until: number }>();
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
      if (this.#parts.isLeader()) await this.#round(signal);
      // Whoever leads meanwhile may apply something else.
      else this.#applied.clear();
      await pause(LOOK_MS, AbortSignal.any([signal, woken.signal]));
    }
  }

  async #round(signal: AbortSignal): Promise<void> {
    const wanted = this.#parts.wanted();
    const live = new Map(
      wanted.flatMap(({ namespace, service }) => {
        const found = this.#parts.liveService(namespace, service);
        return found === undefined ? [] : [[`${namespace}/${service}`, found] as const];
      }),
    );
    const assigned = assignPorts(wanted, live);
    this.#forgetAllBut(new Set(wanted.map((one) => `${one.namespace}/${one.service}`)));
    for (const one of wanted) {
      if (!this.#parts.isLeader()) return;
      const ports = assigned.get(`${one.namespace}/${one.service}`) ?? new Map<number, number>();
      if (ports.size > 0) await this.#provision(one, ports, live.has(`${one.namespace}/${one.service}`), signal);
    }
  }

  /** What is refused of one Gateway, by a quota or a webhook, holds up no other. */
  async #provision(
    one: WantedService,
    ports: ReadonlyMap<number, number>,
    exists: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const { log, random, monotonic, pods } = this.#parts;
    const name = `${one.namespace}/${one.service}`;
    const refused = this.#refused.get(name);
    if (refused !== undefined && monotonic() < refused.until) return;
    try {
      for (const [path, body] of [
        [`/api/v1/namespaces/${one.namespace}/services/${one.service}`, serviceObject(one, ports)],
        [
          `/apis/discovery.k8s.io/v1/namespaces/${one.namespace}/endpointslices/${one.service}`,
          sliceObject(one, ports, pods()),
        ],
      ] as const)
        await this.#apply(name, path, body, exists, signal);
      this.#refused.delete(name);
    } catch (error) {
      if (signal.aborted) return;
      const { backoff } = refused ?? { backoff: new Backoff(random) };
      this.#refused.set(name, { backoff, until: monotonic() + backoff.next() });
      const { message } = asKubeError(error);
      log.warn({ service: name, err: message }, "the Service of a Gateway could not be applied; trying again");
    }
  }

  #forgetAllBut(wanted: ReadonlySet<string>): void {
    for (const name of this.#refused.keys()) if (!wanted.has(name)) this.#refused.delete(name);
    for (const name of this.#applied.keys()) if (!wanted.has(name)) this.#applied.delete(name);
  }

  /** Applies what differs from what was applied last, and all of it when the Service is gone. */
  async #apply(name: string, path: string, body: object, exists: boolean, signal: AbortSignal): Promise<void> {
    const text = JSON.stringify(body);
    const applied = this.#applied.get(name) ?? new Map<string, string>();
    if (exists && applied.get(path) === text) return;
    await this.#parts.client.json({
      method: "PATCH",
      path,
      query: { fieldManager: FIELD_MANAGER, force: "true" },
      contentType: "application/apply-patch+yaml",
      body,
      signal,
    });
    this.#applied.set(name, applied.set(path, text));
  }
}
