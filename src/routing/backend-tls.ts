/** How a backend is spoken to over TLS. Equal content is the same object. @source Gateway API v1 BackendTLSPolicy. */
export interface BackendTls {
  /** Who asked for it: a BackendTLSPolicy, or the Service port by its appProtocol. */
  readonly source: "policy" | "port";
  /** SNI; also what the certificate must be for, where `names` is empty. */
  readonly hostname: string;
  /** The certificate must be for one of these, if there are any. */
  readonly names: readonly { readonly type: "Hostname" | "URI"; readonly value: string }[];
  /** PEM; undefined stands for those that the system trusts. */
  readonly authorities: string | undefined;
}
