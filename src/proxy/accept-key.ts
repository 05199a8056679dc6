import { createHash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { Upgrade } from "./downstream/downstream.ts";

/** @source RFC 6455 section 1.3. */
const HANDSHAKE = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** What a server that speaks WebSocket answers to this `sec-websocket-key`. */
export function acceptKey(key: string): string {
  return createHash("sha1").update(`${key}${HANDSHAKE}`).digest("base64");
}

/** Whether a backend that switches has answered what it was asked. */
export function isAccepted(
  upgrade: Upgrade | undefined,
  { "sec-websocket-accept": accepted }: IncomingHttpHeaders,
): upgrade is Upgrade {
  return upgrade !== undefined && (upgrade.acceptKey ?? accepted) === accepted;
}
