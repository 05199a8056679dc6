import { readFileSync } from "node:fs";
import type { DescriptorProto, EnumDescriptorProto, FileDescriptorProto } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { envoyDescriptors } from "../../hack/envoy-api.ts";
import { envoyBinary } from "../../hack/envoy.ts";
import { descriptorsIn } from "../support/binary-descriptors.ts";

type Facts = Map<string, string>;

function addEnum(facts: Facts, prefix: string, { name, value }: EnumDescriptorProto): void {
  for (const one of value) facts.set(`${prefix}.${name}.${one.name}`, String(one.number));
}

function addMessage(facts: Facts, prefix: string, { name, field, nestedType, enumType }: DescriptorProto): void {
  const full = `${prefix}.${name}`;
  for (const one of field)
    facts.set(`${full}.${one.name}`, [one.number, one.type, one.label, one.typeName, one.oneofIndex].join(" "));
  for (const one of nestedType) addMessage(facts, full, one);
  for (const one of enumType) addEnum(facts, full, one);
}

/** All that decides how messages of a file are written as bytes. */
function factsOf({ package: name, messageType, enumType }: FileDescriptorProto): Facts {
  const facts: Facts = new Map();
  for (const one of messageType) addMessage(facts, name, one);
  for (const one of enumType) addEnum(facts, name, one);
  return facts;
}

describe("Envoy's API", () => {
  // The others hold options, which never become bytes, or name what else belongs together.
  const ours = envoyDescriptors().file.filter(
    ({ name, syntax, messageType, enumType }) =>
      !name.startsWith("google/") && syntax === "proto3" && messageType.length + enumType.length > 0,
  );
  const theirs = descriptorsIn(readFileSync(envoyBinary(console.log)));

  test("what we generate from is what the binary speaks, field by field", () => {
    const fields = ours.flatMap((file) => [...factsOf(file)]);
    console.log(`# Envoy's API: ${ours.length} files, ${fields.length} fields and values`);
    expect(ours.length).toBeGreaterThan(100);
    for (const file of ours) {
      const inside = theirs.get(file.name);
      expect(inside, `${file.name} is not in the binary`).toBeDefined();
      if (inside !== undefined) expect(factsOf(inside), file.name).toEqual(factsOf(file));
    }
  });

  test("a field of another number is noticed", () => {
    const [file] = ours.filter(({ name }) => name === "envoy/config/route/v3/route.proto");
    const changed = structuredClone(factsOf(file!));
    const [key = ""] = changed.keys();
    changed.set(key, "99");
    expect(factsOf(theirs.get(file!.name)!)).not.toEqual(changed);
  });
});
