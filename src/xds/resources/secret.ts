import { SecretSchema } from "../generated/envoy/extensions/transport_sockets/tls/v3/secret_pb.js";
import type { Certificate } from "../../routing/listener.ts";
import { type Resource, encoded, resourceOf } from "./resource.ts";

/** A certificate with its key. Named after the Secret that it is in, so that a new one takes its place under the listener. */
export function secretOf({ secret, chain, key }: Certificate): Resource {
  const bytes = encoded(SecretSchema, {
    name: secret,
    type: {
      case: "tlsCertificate",
      value: {
        certificateChain: { specifier: { case: "inlineBytes", value: Buffer.from(chain, "latin1") } },
        privateKey: { specifier: { case: "inlineBytes", value: Buffer.from(key.reveal(), "latin1") } },
      },
    },
  });
  return resourceOf("Secret", secret, bytes);
}
