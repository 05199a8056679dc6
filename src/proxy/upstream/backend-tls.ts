import {
  type PeerCertificate,
  type SecureContext,
  type TLSSocket,
  checkServerIdentity,
  connect,
  createSecureContext,
  getCACertificates,
} from "node:tls";
import type { BackendTls } from "../../routing/backend-tls.ts";
import { type Address, type Connected, settle } from "./connect.ts";

const contexts = new WeakMap<BackendTls, SecureContext>();
let systemContext: SecureContext | undefined;

/** The machine's own trust store; an image without one has Mozilla's, which Node brings. */
function system(): string[] {
  const found = getCACertificates("system");
  return found.length === 0 ? getCACertificates("bundled") : found;
}

const contextFor = (ca: string | string[]): SecureContext => createSecureContext({ ca, minVersion: "TLSv1.2" });

function contextOf(tls: BackendTls): SecureContext {
  if (tls.authorities === undefined) return (systemContext ??= contextFor(system()));
  let context = contexts.get(tls);
  if (context === undefined) {
    context = contextFor(tls.authorities);
    contexts.set(tls, context);
  }
  return context;
}

/** URIs among the subject alternative names. Node quotes those that hold a separator: they are never taken for another. */
const urisOf = ({ subjectaltname = "" }: PeerCertificate): string[] =>
  subjectaltname.split(", ").flatMap((name) => (name.startsWith("URI:") ? [name.slice("URI:".length)] : []));

/**
 * Whether a backend is who the policy says: one of its names where it lists some, else its hostname.
 *
 * @source Gateway API v1 BackendTLSPolicyValidation.
 */
export function identityProblem(tls: BackendTls, certificate: PeerCertificate): Error | undefined {
  const { hostname, names } = tls;
  if (names.length === 0) return checkServerIdentity(hostname, certificate);
  const isOne = names.some(({ type, value }) =>
    type === "URI"
      ? urisOf(certificate).includes(value)
      : checkServerIdentity(value, certificate) === undefined && certificate.subjectaltname !== undefined,
  );
  return isOne ? undefined : new Error("the certificate has none of the names that the policy lists");
}

interface TlsConnectOptions {
  readonly protocol?: "h2" | "http/1.1";
  readonly limitMs: number;
  readonly allowHalfOpen?: boolean;
}

/**
 * A connection to a backend over TLS. Sessions are not resumed: one that was made under another policy must not stand
 * in for a check under this one (S23).
 *
 * @param options.protocol       Agreed on by ALPN, if given.
 * @param options.limitMs        Within which the handshake must be done.
 * @param options.allowHalfOpen  Whether either side may end before the other has.
 */
export function connectTls(
  address: Address,
  tls: BackendTls,
  { protocol, limitMs, allowHalfOpen = false }: TlsConnectOptions,
  done: (...outcome: Connected) => void,
): TLSSocket {
  const socket = connect({
    ...address,
    secureContext: contextOf(tls),
    ...(protocol === undefined ? {} : { ALPNProtocols: [protocol] }),
    checkServerIdentity: (_name, certificate) => identityProblem(tls, certificate),
    servername: tls.hostname,
  });
  socket.setNoDelay(true);
  socket.allowHalfOpen = allowHalfOpen;
  settle(socket, "secureConnect", limitMs, done, ({ alpnProtocol }) =>
    protocol === "h2" && alpnProtocol !== "h2" ? new Error("the backend does not speak HTTP/2") : undefined,
  );
  return socket;
}
