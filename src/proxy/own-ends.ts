import { type Transport, authorityOf } from "../routing/endpoints.ts";

interface End {
  readonly address: string;
  readonly port: number;
}

/** The system gives one port of ours to several destinations, so that the port it leads to is part of it. */
const nameOf = ({ address, port }: End, to: number, transport: Transport): string =>
  `${transport} ${authorityOf({ address: address.replace(/^::ffff:(?=[0-9.]+$)/i, ""), port })} ${to}`;

/**
 * Ends of this process on its ways to backends. What is carried as it is has no room for a mark that it has come by
 * before, as a request has; but a client whose other end is here can only be a route that leads back to its own listener.
 */
export class OwnEnds {
  readonly #counts = new Map<string, number>();

  /**
   * @param to  The port of the other side.
   * @returns   To be called when it is closed.
   */
  add(end: End, to: number, transport: Transport): () => void {
    const name = nameOf(end, to, transport);
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    return () => {
      const left = (this.#counts.get(name) ?? 0) - 1;
      if (left > 0) this.#counts.set(name, left);
      else this.#counts.delete(name);
    };
  }

  /** @param to  The port that a client has come to. */
  has(client: End, to: number, transport: Transport): boolean {
    return this.#counts.has(nameOf(client, to, transport));
  }
}
