import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

/** With these bytes every client begins that speaks HTTP/2 without having been asked. @source RFC 9113 section 3.4. */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
/** No HTTP/1 method begins like it: so many bytes decide. */
const TELLING = 3;

interface Takers {
  readonly http1: (socket: Duplex) => void;
  readonly http2: (socket: Duplex) => void;
}

/**
 * Which version of HTTP a cleartext connection speaks, told by its first bytes, which stay on it.
 *
 * @param limitMs  A client that says nothing for so long is cut off.
 */
export function chooseByPreface(socket: Socket, limitMs: number, { http1, http2 }: Takers): void {
  let seen: Buffer = Buffer.alloc(0);
  const limit = setTimeout(() => socket.destroy(), limitMs);
  const look = (chunk: Buffer): void => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const isHttp2 = seen.subarray(0, TELLING).equals(PREFACE.subarray(0, Math.min(seen.length, TELLING)));
    if (isHttp2 && seen.length < TELLING) return;
    settle();
    socket.pause();
    socket.unshift(seen);
    if (isHttp2) return http2(socket);
    http1(socket);
    socket.resume();
  };
  const settle = (): void => {
    clearTimeout(limit);
    socket.off("data", look).off("close", settle).off("error", ignore).off("end", hangUp);
  };
  const ignore = (): void => undefined;
  const hangUp = (): void => void socket.end();
  socket.on("data", look).on("close", settle).on("error", ignore).on("end", hangUp);
}
