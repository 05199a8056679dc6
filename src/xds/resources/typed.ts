import { type DescMessage, type MessageInitShape, create } from "@bufbuild/protobuf";
import { type Any, type Duration, DurationSchema, anyPack } from "@bufbuild/protobuf/wkt";

export function packed<D extends DescMessage>(schema: D, init: MessageInitShape<D>): Any {
  return anyPack<D>(schema, create<D>(schema, init));
}

/** An extension of Envoy's, where it stands in a list by its name. */
export function extension<D extends DescMessage>(
  name: string,
  schema: D,
  init: MessageInitShape<D>,
): { name: string; configType: { case: "typedConfig"; value: Any } } {
  return { name, configType: { case: "typedConfig", value: packed(schema, init) } };
}

export function durationOf(ms: number): Duration {
  const seconds = Math.floor(ms / 1000);
  return create(DurationSchema, { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1000) * 1_000_000) });
}
