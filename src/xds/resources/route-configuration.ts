import { FilterConfigSchema } from "../generated/envoy/config/route/v3/route_components_pb.js";
import { RouteConfigurationSchema } from "../generated/envoy/config/route/v3/route_pb.js";
import { HOPS_HEADER, MIRRORED_BY, REASON_HEADER, ROUTE_HEADER } from "../../routing/reasons.ts";
import type { ProxyOptions } from "../options.ts";
import { CANONICAL_FILTER, wildcardFilter } from "./host-scripts.ts";
import { METADATA } from "./metadata.ts";
import { TABLE_HEADER } from "./scope.ts";
import { packed } from "./typed.ts";
import { type Resource, type ResourceId, encoded, resourceOf } from "./resource.ts";
import { joined } from "./virtual-host.ts";

/** Field 2 of RouteConfiguration, `virtual_hosts`, with a length. */
const VIRTUAL_HOSTS_TAG = 0x12;
/** 4,096 characters, each of four bytes at most. */
const MOST_BODY_BYTES = 4 * 4096;

/** Said by Envoy to backends, where nobody asked. */
const OF_ENVOY = ["te", "x-envoy-external-address", "x-envoy-internal"];
/** Nothing is added where no script has answered. */
const REASON_OF_SCRIPT = `%DYNAMIC_METADATA(${METADATA}:reason)%`;

interface Parts {
  readonly name: string;
  /** Encoded virtual hosts. */
  readonly hosts: readonly Uint8Array[];
  /** The clusters that any of them names. */
  readonly uses: readonly ResourceId[];
  /** The table that it is a part of, where hosts are scopes. */
  readonly scopedIn: string | undefined;
  readonly options: ProxyOptions;
}

const switchedOff = packed(FilterConfigSchema, { disabled: true });

/** Hostnames of a table: all, or those that share a part of it. */
export function routeConfiguration({ name, hosts, uses, scopedIn, options: { showReason } }: Parts): Resource {
  const head = encoded(RouteConfigurationSchema, {
    name,
    mostSpecificHeaderMutationsWins: true,
    // A cluster may be refused, or on its way: its rule alone does without.
    validateClusters: false,
    ignorePortInHostMatching: true,
    maxDirectResponseBodySizeBytes: MOST_BODY_BYTES,
    requestHeadersToRemove: scopedIn === undefined ? OF_ENVOY : [...OF_ENVOY, TABLE_HEADER],
    // A backend does not speak for the gateway.
    responseHeadersToRemove: [REASON_HEADER, ROUTE_HEADER, HOPS_HEADER, MIRRORED_BY],
    responseHeadersToAdd: showReason ? [{ header: { key: REASON_HEADER, value: REASON_OF_SCRIPT } }] : [],
    // A host that has been found need not be looked for.
    typedPerFilterConfig:
      scopedIn === undefined ? {} : { [CANONICAL_FILTER]: switchedOff, [wildcardFilter(scopedIn)]: switchedOff },
  });
  return resourceOf("RouteConfiguration", name, joined(head, VIRTUAL_HOSTS_TAG, hosts), uses);
}
