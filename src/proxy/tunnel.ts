import type { Duplex } from "node:stream";

/**
 * Joins two connections, byte for byte, with backpressure both ways.
 *
 * @param idleMs  Longest time without a byte either way; 0 is none.
 * @param ended   Called once, when both are closed.
 */
export function tunnel(client: Duplex, backend: Duplex, idleMs: number, ended: () => void): void {
  let open = 2;
  const timer = idleMs === 0 ? undefined : setTimeout(() => both((one) => one.destroy()), idleMs);
  const both = (act: (one: Duplex) => void): void => [client, backend].forEach(act);
  both((one) => {
    const other = one === client ? backend : client;
    one.on("data", () => timer?.refresh());
    one.on("error", () => other.destroy());
    one.on("close", () => {
      other.destroy();
      if (--open > 0) return;
      clearTimeout(timer);
      ended();
    });
    one.pipe(other);
  });
}
