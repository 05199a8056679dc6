import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { ListenerSchema } from "../generated/envoy/config/listener/v3/listener_pb.js";
import { RouterSchema } from "../generated/envoy/extensions/filters/http/router/v3/router_pb.js";
import { HttpConnectionManagerSchema } from "../generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js";
import { ADS } from "./ads-source.ts";
import { type Resource, encoded, resourceOf } from "./resource.ts";
import { extension } from "./typed.ts";

/** Of the listener that no connection reaches, and of its routes: what proxies make of these costs no traffic. */
export const TRIAL = "serviceroute-trial";
const NAME_FIELD = 1;

/** Makes a proxy ask for the routes on trial. */
export const trialListener: Resource = resourceOf(
  "Listener",
  TRIAL,
  encoded(ListenerSchema, {
    name: TRIAL,
    listenerSpecifier: { case: "internalListener", value: {} },
    filterChains: [
      {
        filters: [
          extension("envoy.filters.network.http_connection_manager", HttpConnectionManagerSchema, {
            statPrefix: TRIAL,
            routeSpecifier: { case: "rds", value: { routeConfigName: TRIAL, configSource: ADS } },
            httpFilters: [extension("envoy.filters.http.router", RouterSchema, {})],
          }),
        ],
      },
    ],
  }),
);

/** The same routes under the name of the trial: of a field that comes twice the last one counts. */
export function onTrial(routes: Resource): Resource {
  const name = new BinaryWriter().tag(NAME_FIELD, WireType.LengthDelimited).string(TRIAL).finish();
  return resourceOf("RouteConfiguration", TRIAL, Buffer.concat([routes.bytes, name]));
}
