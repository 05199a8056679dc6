import type { Duplex } from "node:stream";

/** How long a client may take to close a connection that we have ended. */
const LINGER_MS = 5000;

/** Ends a connection that nothing more is wanted of. What was said last can still be read, but not for ever. */
export function endSoon(socket: Duplex): void {
  // What still comes is read and dropped: a reset for bytes that nobody reads would overtake the answer.
  socket.resume().end();
  cutSoon(socket);
}

/** The same of one whose end has been said. */
export function cutSoon(socket: Duplex): void {
  const limit = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => clearTimeout(limit));
}
