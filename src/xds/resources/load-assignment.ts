import type { MessageInitShape } from "@bufbuild/protobuf";
import { ClusterLoadAssignmentSchema } from "../generated/envoy/config/endpoint/v3/endpoint_pb.js";
import type { LbEndpointSchema } from "../generated/envoy/config/endpoint/v3/endpoint_components_pb.js";
import { SocketAddress_Protocol } from "../generated/envoy/config/core/v3/address_pb.js";
import { type EndpointSet, type EndpointsKey, partsOfEndpointsKey } from "../../routing/endpoints.ts";
import { type Resource, encoded, resourceOf } from "./resource.ts";
import { socketAddress } from "./socket.ts";

export type EndpointInit = MessageInitShape<typeof LbEndpointSchema>;

/** Where new requests go. */
export function lbEndpoints(key: EndpointsKey, set: EndpointSet | undefined): EndpointInit[] {
  const protocol =
    partsOfEndpointsKey(key).transport === "UDP" ? SocketAddress_Protocol.UDP : SocketAddress_Protocol.TCP;
  return (set?.usable ?? []).map(({ address, port }) => ({
    hostIdentifier: { case: "endpoint", value: { address: socketAddress(address, port, protocol) } },
  }));
}

/** The endpoints of a Service port. Without any it is said that there are none: a proxy would wait for them otherwise. */
export function loadAssignment(key: EndpointsKey, set: EndpointSet | undefined): Resource {
  const endpoints = lbEndpoints(key, set);
  const bytes = encoded(ClusterLoadAssignmentSchema, {
    clusterName: key,
    endpoints: endpoints.length === 0 ? [] : [{ lbEndpoints: endpoints }],
  });
  return resourceOf("ClusterLoadAssignment", key, bytes);
}
