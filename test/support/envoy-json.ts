import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type DescFile, type JsonValue, createRegistry, fromBinary, toJson } from "@bufbuild/protobuf";
import { type Resource, typeUrlOf } from "../../src/xds/resources/resource.ts";

const GENERATED = join(import.meta.dirname, "../../src/xds/generated");
const files = readdirSync(GENERATED, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith("_pb.js"));
const modules = await Promise.all(
  files.map(async (name) => (await import(join(GENERATED, name))) as Record<string, unknown>),
);
const isFile = (value: unknown): value is DescFile =>
  typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === "file";
const registry = createRegistry(...modules.flatMap((one) => Object.values(one).filter(isFile)));

/** A resource as people read it, extensions within it included. */
export function resourceJson(resource: Resource): JsonValue {
  const name = typeUrlOf(resource.type).slice("type.googleapis.com/".length);
  const schema = registry.getMessage(name);
  if (schema === undefined) throw new Error(`no message ${name}`);
  return toJson(schema, fromBinary(schema, resource.bytes), { registry, useProtoFieldName: true });
}
