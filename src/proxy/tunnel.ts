import type { Duplex } from "node:stream";
import { breakOff } from "./break-off.ts";
import { joinPieces } from "./join-pieces.ts";
import { SmallPieces } from "./small-pieces.ts";

/** How long one that still talks is listened to, so that what it has yet to read is not lost with the connection. */
const LINGER_MS = 5000;

/** Lets go of one whose other end has said all there was, once that has gone out. */
function release(one: Duplex): void {
  const linger = (): void => {
    if (one.readableEnded) return void one.destroy();
    const limit = setTimeout(() => one.destroy(), LINGER_MS);
    one.once("end", () => one.destroy()).once("close", () => clearTimeout(limit));
  };
  one.resume().end();
  if (one.writableFinished) linger();
  else one.once("finish", linger);
}

/** One that nobody has said anything on for too long. What went out whole may still be on its way: it is not called back. */
function giveUp(one: Duplex): void {
  if (one.writableFinished) one.destroy();
  else breakOff(one);
}

/** As `pipe`, but what waits is bounded however small its pieces are. */
function carry(from: Duplex, to: Duplex): void {
  joinPieces(from);
  const pieces = new SmallPieces(to);
  to.on("drain", () => from.resume());
  from.on("data", (chunk: Buffer) => {
    // One that is let go of is still read, for nobody.
    if (to.writable && !pieces.write(chunk)) from.pause();
  });
  from.on("end", () => to.end());
  from.resume();
}

/**
 * Joins two connections, byte for byte, with backpressure both ways. What breaks off on one side, or is silent for too
 * long, is broken off on the other: it never looks whole (F47).
 *
 * @param idleMs  Longest time without a byte either way; 0 is none.
 * @param ended   Called once, when both are closed.
 */
export function tunnel(client: Duplex, backend: Duplex, idleMs: number, ended: () => void): void {
  let open = 2;
  const timer = idleMs === 0 ? undefined : setTimeout(() => both(giveUp), idleMs);
  const both = (act: (one: Duplex) => void): void => [client, backend].forEach(act);
  both((one) => {
    const other = one === client ? backend : client;
    // A reader that is slow is not silent: what it takes makes room.
    for (const sign of ["data", "drain", "finish"]) one.on(sign, () => timer?.refresh());
    // An error is followed by the close.
    one.on("error", () => undefined);
    one.on("close", () => {
      // It may have closed while it was still talked to: what it said is whole all the same.
      if (one.readableEnded) release(other);
      else breakOff(other);
      if (--open > 0) return;
      clearTimeout(timer);
      ended();
    });
    carry(one, other);
  });
}
