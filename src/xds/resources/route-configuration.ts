import { RouteConfigurationSchema } from "../generated/envoy/config/route/v3/route_pb.js";
import { HOPS_HEADER, MIRRORED_BY, REASON_HEADER, ROUTE_HEADER } from "../../routing/reasons.ts";
import type { ProxyOptions } from "../options.ts";
import { METADATA } from "./metadata.ts";
import { type Resource, type ResourceId, encoded, resourceOf } from "./resource.ts";
import { joined } from "./virtual-host.ts";

/** Field 2 of RouteConfiguration, `virtual_hosts`, with a length. */
const VIRTUAL_HOSTS_TAG = 0x12;
const MOST_BODY_BYTES = 4096;

/** Said by Envoy to backends, where nobody asked. */
const OF_ENVOY = ["te", "x-envoy-external-address", "x-envoy-internal"];
/** Nothing is added where no script has answered. */
const REASON_OF_SCRIPT = `%DYNAMIC_METADATA(${METADATA}:reason)%`;

/**
 * All hostnames of a table.
 *
 * @param hosts  Encoded virtual hosts.
 * @param uses   The clusters that any of them names.
 */
export function routeConfiguration(
  name: string,
  hosts: readonly Uint8Array[],
  uses: readonly ResourceId[],
  { showReason }: ProxyOptions,
): Resource {
  const head = encoded(RouteConfigurationSchema, {
    name,
    // The rule's changes come before those of a backendRef.
    mostSpecificHeaderMutationsWins: true,
    // A cluster may be refused, or on its way: its rule alone does without.
    validateClusters: false,
    ignorePortInHostMatching: true,
    maxDirectResponseBodySizeBytes: MOST_BODY_BYTES,
    requestHeadersToRemove: OF_ENVOY,
    // A backend does not speak for the gateway.
    responseHeadersToRemove: [REASON_HEADER, ROUTE_HEADER, HOPS_HEADER, MIRRORED_BY],
    responseHeadersToAdd: showReason ? [{ header: { key: REASON_HEADER, value: REASON_OF_SCRIPT } }] : [],
  });
  return resourceOf("RouteConfiguration", name, joined(head, VIRTUAL_HOSTS_TAG, hosts), uses);
}
