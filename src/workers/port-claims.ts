/**
 * Workers bind the same ports side by side, which the system lets any process of the same user do. So the first of them
 * binds a port only when nobody else has it, which is tried out here.
 */
export class PortClaims {
  readonly #probe: (socket: string) => Promise<string | undefined>;
  readonly #holders = new Map<string, Set<number>>();
  readonly #probing = new Map<string, Promise<string | undefined>>();

  /** @param probe  Binds `address:port` alone and lets go of it; resolves with the system's code where that fails. */
  constructor(probe: (socket: string) => Promise<string | undefined>) {
    this.#probe = probe;
  }

  /** @returns Why the worker may not bind it, as the system's code; undefined: it may. */
  async claim(worker: number, socket: string): Promise<string | undefined> {
    const holders = this.#holders.get(socket);
    if (holders === undefined) {
      const problem = await this.#tried(socket);
      if (problem !== undefined) return problem;
    }
    this.#holders.set(socket, (this.#holders.get(socket) ?? new Set()).add(worker));
    return undefined;
  }

  /** Only a worker knows when it has let go of one: that nobody is to bind it any more is known here long before. */
  release(worker: number, socket: string): void {
    const holders = this.#holders.get(socket);
    holders?.delete(worker);
    if (holders?.size === 0) this.#holders.delete(socket);
  }

  /** It has let go of all that it had. */
  ended(worker: number): void {
    for (const socket of [...this.#holders.keys()]) this.release(worker, socket);
  }

  async #tried(socket: string): Promise<string | undefined> {
    let trying = this.#probing.get(socket);
    if (trying === undefined) {
      trying = this.#probe(socket).finally(() => this.#probing.delete(socket));
      this.#probing.set(socket, trying);
    }
    return trying;
  }
}
