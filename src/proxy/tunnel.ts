import type { Duplex } from "node:stream";

/**
 * Joins two connections after a 101, byte for byte, with backpressure both ways.
 *
 * @param idleMs  Longest time without a byte either way; 0 is none.
 * @param ended   Called once, when both are closed.
 */
export function tunnel(
  client: { readonly protocol: string; readonly socket: Duplex; readonly head: Buffer },
  backend: Duplex,
  headers: readonly string[],
  idleMs: number,
  ended: () => void,
): void {
  const { socket, head, protocol } = client;
  const lines = ["HTTP/1.1 101 Switching Protocols", "connection: upgrade", `upgrade: ${protocol}`];
  for (let i = 0; i + 1 < headers.length; i += 2) lines.push(`${headers[i] ?? ""}: ${headers[i + 1] ?? ""}`);
  socket.write(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  if (head.length > 0) backend.write(head);

  let open = 2;
  const timer = idleMs === 0 ? undefined : setTimeout(() => both((one) => one.destroy()), idleMs);
  const both = (act: (one: Duplex) => void): void => [socket, backend].forEach(act);
  both((one) => {
    const other = one === socket ? backend : socket;
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
