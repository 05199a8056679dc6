import type { MessageInitShape } from "@bufbuild/protobuf";
import { ApiVersion, type ConfigSourceSchema } from "../generated/envoy/config/core/v3/config_source_pb.js";
import { durationOf } from "./typed.ts";

/** Over the one stream that a proxy has with us. Without a time limit: what is not there yet is waited for. */
export const ADS: MessageInitShape<typeof ConfigSourceSchema> = {
  configSourceSpecifier: { case: "ads", value: {} },
  resourceApiVersion: ApiVersion.V3,
  initialFetchTimeout: durationOf(0),
};
