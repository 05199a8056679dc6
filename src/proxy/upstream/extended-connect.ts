import type { ClientHttp2Session } from "node:http2";
import { acceptKey } from "../accept-key.ts";
import type { BackendCall } from "./attempt.ts";

/** Parts of HTTP/1.1's handshake, for which HTTP/2 has its own. */
const OF_HANDSHAKE = new Set(["host", "connection", "upgrade", "sec-websocket-key"]);

function valueOf({ headers }: BackendCall, name: string): string {
  const at = headers.findIndex((one, i) => i % 2 === 0 && one === name);
  return at < 0 ? "" : (headers[at + 1] ?? "");
}

/**
 * A handshake over HTTP/2, whatever the client's was.
 *
 * @source RFC 8441 section 5.
 */
export function connectHeaders(call: BackendCall, scheme: "http" | "https"): string[] {
  const { headers, path, upgrade = "" } = call;
  const kept = headers.filter((_, i) => !OF_HANDSHAKE.has(headers[i - (i % 2)] ?? ""));
  const pseudo = [":method", "CONNECT", ":protocol", upgrade, ":scheme", scheme, ":path", path];
  return [...pseudo, ":authority", valueOf(call, "host"), ...kept];
}

/** What a client of HTTP/1.1 has to hear, and HTTP/2 does not say. */
export function handshakeAnswer(call: BackendCall): Record<string, string> {
  return { "sec-websocket-accept": acceptKey(valueOf(call, "sec-websocket-key")) };
}

const answered = new WeakSet<ClientHttp2Session>();

/** To be called when a session begins: what the other side can do is said once. */
export function followSettings(session: ClientHttp2Session): void {
  // As many may wait for it as there are streams.
  session.setMaxListeners(0);
  session.once("remoteSettings", () => answered.add(session));
}

/** Whether the other side has said what it can do; if not, `later` is called when it has, or `gone` when it never will. */
export function hasSettings(session: ClientHttp2Session, later: () => void, gone: () => void): boolean {
  if (answered.has(session)) return true;
  const [came, left] = [later, gone].map((act) => (): void => {
    session.off("remoteSettings", came).off("close", left);
    act();
  }) as [() => void, () => void];
  session.once("remoteSettings", came).once("close", left);
  return false;
}
