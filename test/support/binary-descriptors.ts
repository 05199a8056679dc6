import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

const PATHS = /^(envoy|xds|udpa|validate|google|cel)\/[\w/]+\.proto$/;
const SUFFIX = Buffer.from(".proto\x12");
const LONGEST_PATH = 127;
/** Of FileDescriptorProto: `syntax` comes last but for `edition`, which none of these files has. */
const SYNTAX = 12;

/** Where a descriptor begins whose name ends at `end`; undefined: these bytes are none. */
function startOf(binary: Buffer, end: number): number | undefined {
  for (let length = SUFFIX.length; length <= LONGEST_PATH; length++) {
    const start = end - length;
    if (binary[start - 1] !== length || binary[start - 2] !== 0x0a) continue;
    if (PATHS.test(binary.toString("latin1", start, end))) return start - 2;
  }
  return undefined;
}

/** A message has no end of its own: fields come in order, and `syntax` is the last one. */
function descriptorAt(binary: Buffer, start: number): FileDescriptorProto | undefined {
  const reader = new BinaryReader(binary.subarray(start));
  try {
    for (let last = 0; last !== SYNTAX;) {
      const [field, wireType] = reader.tag();
      if (field < last || field > SYNTAX) return undefined;
      if (wireType !== WireType.LengthDelimited && wireType !== WireType.Varint) return undefined;
      reader.skip(wireType, field);
      last = field;
    }
    return fromBinary(FileDescriptorProtoSchema, binary.subarray(start, start + reader.pos));
  } catch {
    return undefined;
  }
}

/** The descriptors that a C++ program carries within itself, by path. */
export function descriptorsIn(binary: Buffer): ReadonlyMap<string, FileDescriptorProto> {
  const found = new Map<string, FileDescriptorProto>();
  for (let at = binary.indexOf(SUFFIX); at >= 0; at = binary.indexOf(SUFFIX, at + 1)) {
    const start = startOf(binary, at + SUFFIX.length - 1);
    const descriptor = start === undefined ? undefined : descriptorAt(binary, start);
    if (descriptor !== undefined && !found.has(descriptor.name)) found.set(descriptor.name, descriptor);
  }
  return found;
}
