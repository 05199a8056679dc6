import type { Engine } from "./engine.ts";

/** Whether a process should get traffic: its first table is live, and its ports are bound as far as they can be. */
export class Readiness {
  #wasBound = false;

  /** Why it should get none; empty: it may. A listener that comes later, or one of several that fails, takes nothing back. */
  problem({ controller, listeners, translator, gateway }: Engine): string {
    if (!controller.isLive) return "the first table is not live yet";
    const problem = gateway.problem();
    if (problem !== "") return problem;
    // Proxies find us only when we are ready.
    if (gateway.isRemote === true) return "";
    const [pending] = listeners.waiting();
    if (!this.#wasBound && pending !== undefined) return `waiting for listener ${pending} to be bound`;
    this.#wasBound = true;
    const { failed } = listeners.report();
    const [first] = failed.values();
    if (first === undefined || failed.size < translator.table.listeners.size) return "";
    return `no listener can be served: ${first}`;
  }
}
