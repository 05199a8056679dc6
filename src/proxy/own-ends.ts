import { type Transport, authorityOf } from "../routing/endpoints.ts";

interface End {
  readonly address: string;
  readonly port: number;
}

const nameOf = ({ address, port }: End, transport: Transport): string =>
  `${transport} ${authorityOf({ address: address.replace(/^::ffff:(?=[0-9.]+$)/i, ""), port })}`;

/**
 * Ends of this process on its ways to backends. What is carried as it is has no room for a mark that it has come by
 * before, as a request has; but a client whose other end is here can only be a route that leads back to its own listener.
 */
export class OwnEnds {
  readonly #names = new Set<string>();

  /** @returns To be called when it is closed. */
  add(end: End, transport: Transport): () => void {
    const name = nameOf(end, transport);
    this.#names.add(name);
    return () => void this.#names.delete(name);
  }

  has(end: End, transport: Transport): boolean {
    return this.#names.has(nameOf(end, transport));
  }
}
