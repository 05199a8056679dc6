/** TypeScript of Envoy's API, from the descriptors beside it. To raise the version, see docs/data-planes.md. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  CodeGeneratorRequestSchema,
  CodeGeneratorResponseSchema,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { type Say, goPrograms } from "./go.ts";

const root = join(import.meta.dirname, "..");
const MODULE = join(import.meta.dirname, "envoy-api");
const DESCRIPTORS = join(MODULE, "envoy.binpb");
export const GENERATED_FOLDER = "src/xds/generated";
/** protobuf-es brings these itself; a second copy would be other types. */
const OF_THE_LIBRARY = "google/protobuf/";

export const envoyDescriptors = (): FileDescriptorSet => fromBinary(FileDescriptorSetSchema, readFileSync(DESCRIPTORS));

/** Asks the Go module that is pinned for its descriptors anew. */
export async function writeDescriptors(say: Say): Promise<void> {
  const folder = await goPrograms("envoy-api", MODULE, { "envoy-api": { path: "." } }, "half a minute", say);
  writeFileSync(DESCRIPTORS, execFileSync(join(folder, "envoy-api"), { maxBuffer: 64 * 1024 * 1024 }));
}

/** Text by path. */
export function generateEnvoyApi(): ReadonlyMap<string, string> {
  const { file } = envoyDescriptors();
  const request = create(CodeGeneratorRequestSchema, {
    fileToGenerate: file.map(({ name }) => name).filter((name) => !name.startsWith(OF_THE_LIBRARY)),
    protoFile: file,
    parameter: "target=js+dts,import_extension=js",
  });
  const output = execFileSync(
    process.execPath,
    [join(root, "node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es")],
    {
      input: toBinary(CodeGeneratorRequestSchema, request),
      maxBuffer: 256 * 1024 * 1024,
    },
  );
  const response = fromBinary(CodeGeneratorResponseSchema, output);
  if (response.error !== "") throw new Error(`protoc-gen-es: ${response.error}`);
  return new Map(response.file.map(({ name, content }) => [`${GENERATED_FOLDER}/${name}`, content]));
}
