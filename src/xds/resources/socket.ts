import type { MessageInitShape } from "@bufbuild/protobuf";
import { type AddressSchema, SocketAddress_Protocol } from "../generated/envoy/config/core/v3/address_pb.js";

/** An address and port, of TCP unless said otherwise. */
export function socketAddress(
  address: string,
  port: number,
  protocol: SocketAddress_Protocol = SocketAddress_Protocol.TCP,
): MessageInitShape<typeof AddressSchema> {
  return {
    address: {
      case: "socketAddress",
      value: { protocol, address, portSpecifier: { case: "portValue", value: port } },
    },
  };
}
