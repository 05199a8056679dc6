import { createHash } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { ScopedRouteConfigurationSchema } from "../generated/envoy/config/route/v3/scoped_route_pb.js";
import type { ScopedRoutesSchema } from "../generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js";
import { ADS } from "./ads-source.ts";
import { type Resource, encoded, resourceOf } from "./resource.ts";

/** Says which table a request is looked up in: scopes are the same for all listeners of a proxy. */
export const TABLE_HEADER = "x-serviceroute-table";

/** Enough that a change of one of 40,000 hostnames makes a proxy build forty of them anew, and no more than it keeps with ease. */
const BUCKETS = 1024;

/** Which of a table's route configurations has a hostname. */
export function bucketOf(table: string, hostname: string): string {
  const bucket = createHash("sha256").update(hostname).digest().readUInt16BE(0) % BUCKETS;
  return `${table}#${bucket}`;
}

export const scopeName = (table: string, hostname: string): string => `${table}/${hostname}`;

/** Leads requests for one host of a table to the routes that it shares with others. */
export function scopeOf(table: string, hostname: string): Resource {
  const name = scopeName(table, hostname);
  const fragments = [table, hostname].map((value) => ({ type: { case: "stringKey" as const, value } }));
  return resourceOf(
    "ScopedRouteConfiguration",
    name,
    encoded(ScopedRouteConfigurationSchema, {
      name,
      routeConfigurationName: bucketOf(table, hostname),
      key: { fragments },
      onDemand: false,
    }),
  );
}

const fromHeader = (name: string, elementSeparator: string) => ({
  type: {
    case: "headerValueExtractor" as const,
    value: { name, elementSeparator, extractType: { case: "index" as const, value: 0 } },
  },
});

/** Routes are found by table and host, without port. */
export const scopedRoutes: MessageInitShape<typeof ScopedRoutesSchema> = {
  name: "hosts",
  scopeKeyBuilder: { fragments: [fromHeader(TABLE_HEADER, ""), fromHeader(":authority", ":")] },
  rdsConfigSource: ADS,
  configSpecifier: { case: "scopedRds", value: { scopedRdsConfigSource: ADS } },
};
