import { constants } from "node:crypto";
import { type SecureContext, createSecureContext } from "node:tls";
import { listenerFor } from "../../routing/decide.ts";
import type { Certificate, Listener } from "../../routing/listener.ts";

/** TLS contexts by certificate: made once for each, dropped with it, so that a key does not outlive its listener (S25). */
export class TlsContexts {
  readonly #contexts = new WeakMap<Certificate, SecureContext>();

  /**
   * The certificate for a handshake: of the listener that the name belongs to, the one made for the name, else its
   * first.
   *
   * @returns undefined when no listener of the socket takes the name: the handshake is refused.
   */
  select(listeners: readonly Listener[], serverName: string): SecureContext | undefined {
    const listener = serverName === "" ? listeners[0] : listenerFor(listeners, serverName.toLowerCase());
    const certificates = listener?.certificates ?? [];
    const name = serverName.toLowerCase();
    // In a certificate a wildcard stands for one label (RFC 6125, 6.4.3), in a hostname of Gateway API for any number.
    const wildcard = `*${name.slice(name.indexOf("."))}`;
    const certificate =
      certificates.find(({ names }) => names.includes(name)) ??
      certificates.find(({ names }) => names.includes(wildcard)) ??
      certificates[0];
    return certificate === undefined ? undefined : this.#contextOf(certificate);
  }

  #contextOf(certificate: Certificate): SecureContext {
    let context = this.#contexts.get(certificate);
    if (context === undefined) {
      context = createSecureContext({
        cert: certificate.chain,
        key: certificate.key.reveal(),
        minVersion: "TLSv1.2",
        secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      });
      this.#contexts.set(certificate, context);
    }
    return context;
  }
}
