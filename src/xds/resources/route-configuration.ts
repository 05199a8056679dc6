import { RouteConfigurationSchema } from "../generated/envoy/config/route/v3/route_pb.js";
import { setHeader } from "./header-changes.ts";
import { type Resource, type ResourceId, encoded, resourceOf } from "./resource.ts";
import { joined } from "./virtual-host.ts";

/** Field 2 of RouteConfiguration, `virtual_hosts`, with a length. */
const VIRTUAL_HOSTS_TAG = 0x12;
const MOST_BODY_BYTES = 4096;

/**
 * All hostnames of a table.
 *
 * @param hosts  Encoded virtual hosts.
 * @param uses   The clusters that any of them names.
 */
export function routeConfiguration(name: string, hosts: readonly Uint8Array[], uses: readonly ResourceId[]): Resource {
  const head = encoded(RouteConfigurationSchema, {
    name,
    // The rule's changes come before those of a backendRef.
    mostSpecificHeaderMutationsWins: true,
    // A cluster may be refused, or on its way: its rule alone does without.
    validateClusters: false,
    ignorePortInHostMatching: true,
    maxDirectResponseBodySizeBytes: MOST_BODY_BYTES,
    requestHeadersToAdd: [setHeader("x-forwarded-host", "%REQ(:AUTHORITY)%")],
  });
  return resourceOf("RouteConfiguration", name, joined(head, VIRTUAL_HOSTS_TAG, hosts), uses);
}
