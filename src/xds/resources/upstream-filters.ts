import type { MessageInitShape } from "@bufbuild/protobuf";
import { BodySizeLimitSchema } from "../generated/envoy/extensions/filters/http/body_size_limit/v3/body_size_limit_pb.js";
import { LuaSchema } from "../generated/envoy/extensions/filters/http/lua/v3/lua_pb.js";
import { UpstreamCodecSchema } from "../generated/envoy/extensions/filters/http/upstream_codec/v3/upstream_codec_pb.js";
import type { HttpFilterSchema } from "../generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js";
import type { ClusterVariant } from "./cluster-variant.ts";
import { PATH_CHECK } from "./path-check.ts";
import { extension } from "./typed.ts";

/** What a request passes on its way to the endpoint that was chosen, after everything else. */
export function upstreamFilters({
  maxRequestBody,
  checksPath,
}: ClusterVariant): MessageInitShape<typeof HttpFilterSchema>[] {
  const limit =
    maxRequestBody === 0
      ? []
      : [
          extension("envoy.filters.http.body_size_limit", BodySizeLimitSchema, {
            maxRequestBytes: BigInt(maxRequestBody),
          }),
        ];
  const check = checksPath
    ? [
        extension("envoy.filters.http.lua", LuaSchema, {
          defaultSourceCode: { specifier: { case: "inlineString", value: PATH_CHECK } },
        }),
      ]
    : [];
  if (limit.length + check.length === 0) return [];
  return [...check, ...limit, extension("envoy.filters.http.upstream_codec", UpstreamCodecSchema, {})];
}
