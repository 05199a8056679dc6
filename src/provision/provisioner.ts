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
  readonly isLeader: () => boolean;
  readonly wanted: () => readonly WantedService[];
  readonly liveService: (namespace: string, name: string) => KubeObject<"Service"> | undefined;
  /** Our own pods that take new connections. */
  readonly pods: () => readonly Endpoint[];
}

/** Keeps a Service and its endpoints for each Gateway, by server-side apply, as the leader. Deletion is the garbage collector's. */
export class Provisioner {
  readonly #parts: ProvisionerParts;
  readonly #applied = new Map<string, string>();
  #wake: () => void = () => undefined;

  constructor(parts: ProvisionerParts) {
    this.#parts = parts;
  }

  /** Something that it depends on may have changed. */
  changed(): void {
    this.#wake();
  }

  async start(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.#parts.random);
    while (!signal.aborted) {
      const woken = new AbortController();
      this.#wake = () => woken.abort();
      if (this.#parts.isLeader()) await this.#try(backoff, signal);
      await pause(LOOK_MS, AbortSignal.any([signal, woken.signal]));
    }
  }

  async #try(backoff: Backoff, signal: AbortSignal): Promise<void> {
    try {
      await this.#round(signal);
      backoff.reset();
    } catch (error) {
      const { message } = asKubeError(error);
      this.#parts.log.warn({ err: message }, "the Service of a Gateway could not be applied; trying again");
      await backoff.wait(signal);
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
    const pods = this.#parts.pods();
    for (const one of wanted) {
      const ports = assigned.get(`${one.namespace}/${one.service}`) ?? new Map<number, number>();
      if (ports.size === 0) continue;
      const exists = live.has(`${one.namespace}/${one.service}`);
      await this.#apply(
        `/api/v1/namespaces/${one.namespace}/services/${one.service}`,
        serviceObject(one, ports),
        exists,
        signal,
      );
      await this.#apply(
        `/apis/discovery.k8s.io/v1/namespaces/${one.namespace}/endpointslices/${one.service}`,
        sliceObject(one, ports, pods),
        exists,
        signal,
      );
    }
  }

  /** Applies what differs from what was applied last, or what somebody has deleted. */
  async #apply(path: string, body: object, exists: boolean, signal: AbortSignal): Promise<void> {
    const text = JSON.stringify(body);
    if (exists && this.#applied.get(path) === text) return;
    await this.#parts.client.json({
      method: "PATCH",
      path,
      query: { fieldManager: FIELD_MANAGER, force: "true" },
      contentType: "application/apply-patch+yaml",
      body,
      signal,
    });
    this.#applied.set(path, text);
  }
}
