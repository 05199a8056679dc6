import { type Socket, connect } from "node:net";
import { errors } from "undici";

export interface Address {
  readonly host: string;
  readonly port: number;
}
/** How an attempt to connect ended. */
export type Connected = readonly [error: Error, socket: null] | readonly [error: null, socket: Socket];

/** `address:port` apart, brackets taken off. */
export function endpointOf(authority: string): Address {
  const colon = authority.lastIndexOf(":");
  return { host: authority.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(authority.slice(colon + 1)) };
}

/**
 * Tells once how a connection that is being made has turned out.
 *
 * @param ready  The event that says it is made.
 * @param check  What must hold of it then.
 */
export function settle<S extends Socket>(
  socket: S,
  ready: "connect" | "secureConnect",
  limitMs: number,
  done: (...outcome: Connected) => void,
  check: (socket: S) => Error | undefined = () => undefined,
): void {
  const fail = (error: Error): void => {
    over();
    socket.destroy();
    done(error, null);
  };
  const succeed = (): void => {
    const problem = check(socket);
    if (problem !== undefined) return fail(problem);
    over();
    done(null, socket);
  };
  const limit = setTimeout(() => fail(new errors.ConnectTimeoutError()), limitMs);
  // A destroyed socket may still tell of an error, which must not end the process.
  socket.on("error", () => undefined);
  socket.once("error", fail).once("close", closed).once(ready, succeed);
  function closed(): void {
    fail(new errors.SocketError("closed before it was open"));
  }
  function over(): void {
    clearTimeout(limit);
    socket.off("error", fail).off("close", closed).off(ready, succeed);
  }
}

/** @param allowHalfOpen  Whether either side may end before the other has. */
export function connectPlain(
  address: Address,
  limitMs: number,
  done: (...outcome: Connected) => void,
  allowHalfOpen = false,
): Socket {
  const socket = connect({ ...address, noDelay: true, allowHalfOpen });
  settle(socket, "connect", limitMs, done);
  return socket;
}
