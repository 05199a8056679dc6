import { type JsonObject, type MessageInitShape, create } from "@bufbuild/protobuf";
import { TypedExtensionConfigSchema } from "../generated/envoy/config/core/v3/extension_pb.js";
import { LuaSchema } from "../generated/envoy/extensions/filters/http/lua/v3/lua_pb.js";
import type { HttpFilterSchema } from "../generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js";
import { ADS } from "./ads-source.ts";
import { type Resource, encoded, resourceOf } from "./resource.ts";
import { extension, packed } from "./typed.ts";

type FilterInit = MessageInitShape<typeof HttpFilterSchema>;

/** The host as hostnames are written: lower-case, without port and one trailing dot. Then how a route is looked up by one. */
const COMMON = `
local function canonical(authority)
  local host = string.match(authority, "^(%[.*%])") or string.gsub(authority, ":%d*$", "")
  return (string.gsub(string.lower(host), "%.$", ""))
end

local function look(handle, headers, host, authority)
  headers:replace(":authority", host)
  handle:clearRouteCache()
  -- Whoever asks for a route's metadata makes Envoy look the route up.
  handle:metadata():get("")
  headers:replace(":authority", authority)
end
`;

/** Runs when a request's host has no scope as it came: it may be written otherwise. */
const CANONICAL = `${COMMON}
function envoy_on_request(handle)
  local headers = handle:headers()
  local authority = headers:get(":authority")
  local host = canonical(authority)
  if host ~= string.match(authority, "^[^:]*") then look(handle, headers, host, authority) end
end
`;

/** Runs when a request's host has no scope: the most specific wildcard that covers it may. */
const WILDCARDS = `${COMMON}
function envoy_on_request(handle)
  if handle:streamInfo():routeName() ~= "" then return end
  local headers = handle:headers()
  local authority = headers:get(":authority")
  local host = canonical(authority)
  local known = handle:filterContext()
  local at = string.find(host, ".", 2, true)
  while at do
    local name = "*" .. string.sub(host, at)
    if known:get(name) then return look(handle, headers, name, authority) end
    at = string.find(host, ".", at + 1, true)
  end
  if known:get("*") then look(handle, headers, "*", authority) end
end
`;

export const CANONICAL_FILTER = "serviceroute.canonical-host";
export const wildcardFilter = (table: string): string => `serviceroute.wildcards/${table}`;

function script(source: string, filterContext?: JsonObject): MessageInitShape<typeof LuaSchema> {
  return {
    defaultSourceCode: { specifier: { case: "inlineString", value: source } },
    clearRouteCache: false,
    ...(filterContext === undefined ? {} : { filterContext }),
  };
}

/** What finds the routes of hosts that are no scope. A request whose host is one passes neither. */
export const hostFilters = (table: string): FilterInit[] => [
  extension(CANONICAL_FILTER, LuaSchema, script(CANONICAL)),
  {
    name: wildcardFilter(table),
    configType: {
      case: "configDiscovery",
      value: { configSource: ADS, typeUrls: [`type.googleapis.com/${LuaSchema.typeName}`] },
    },
  },
];

/** The wildcards of a table. They change without its listener. */
export function wildcardConfig(table: string, hostnames: readonly string[]): Resource {
  const name = wildcardFilter(table);
  const known = Object.fromEntries(hostnames.map((hostname) => [hostname, true]));
  const typedConfig = packed(LuaSchema, script(WILDCARDS, known));
  return resourceOf(
    "ExtensionConfig",
    name,
    encoded(TypedExtensionConfigSchema, create(TypedExtensionConfigSchema, { name, typedConfig })),
  );
}
