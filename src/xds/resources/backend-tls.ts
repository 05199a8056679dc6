import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TransportSocketSchema } from "../generated/envoy/config/core/v3/base_pb.js";
import {
  SubjectAltNameMatcher_SanType,
  TlsParameters_TlsProtocol,
} from "../generated/envoy/extensions/transport_sockets/tls/v3/common_pb.js";
import { UpstreamTlsContextSchema } from "../generated/envoy/extensions/transport_sockets/tls/v3/tls_pb.js";
import type { BackendTls } from "../../routing/backend-tls.ts";
import type { BackendHttp } from "../../routing/rule.ts";
import { exactly } from "./strings.ts";
import { extension } from "./typed.ts";

/** Where Debian, on which Envoy's images are built, keeps the authorities that it trusts. */
const SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt";
const TLS = "envoy.transport_sockets.tls";

/** @param http  Agreed on by ALPN, if given. */
export function backendTlsSocket(
  { hostname, names, authorities }: BackendTls,
  http: BackendHttp | undefined,
): MessageInitShape<typeof TransportSocketSchema> {
  const wanted = names.length === 0 ? [{ type: "Hostname" as const, value: hostname }] : names;
  return extension(TLS, UpstreamTlsContextSchema, {
    sni: hostname,
    commonTlsContext: {
      tlsParams: { tlsMinimumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_2 },
      alpnProtocols: http === undefined ? [] : [http === "2" ? "h2" : "http/1.1"],
      validationContextType: {
        case: "validationContext",
        value: {
          trustedCa: {
            specifier:
              authorities === undefined
                ? { case: "filename", value: SYSTEM_AUTHORITIES }
                : { case: "inlineBytes", value: Buffer.from(authorities) },
          },
          matchTypedSubjectAltNames: wanted.map(({ type, value }) => ({
            sanType: type === "URI" ? SubjectAltNameMatcher_SanType.URI : SubjectAltNameMatcher_SanType.DNS,
            matcher: exactly(value),
          })),
        },
      },
    },
    // Sessions are not resumed: one made under another policy must not stand in for a check under this one (S23).
    maxSessionKeys: 0,
  });
}
