import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  HeaderValueOption_HeaderAppendAction,
  type HeaderValueOptionSchema,
} from "../generated/envoy/config/core/v3/base_pb.js";
import type { HeaderChanges } from "../../routing/rule.ts";
import { literal } from "./strings.ts";

export type HeaderOptionInit = MessageInitShape<typeof HeaderValueOptionSchema>;

/** @param value  May have Envoy's own `%` in it. */
export const setHeader = (key: string, value: string): HeaderOptionInit => ({
  header: { key, value },
  appendAction: HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
  keepEmptyValue: true,
});

export const addHeader = (key: string, value: string): HeaderOptionInit => ({
  header: { key, value },
  appendAction: HeaderValueOption_HeaderAppendAction.APPEND_IF_EXISTS_OR_ADD,
  keepEmptyValue: true,
});

interface EnvoyChanges {
  readonly toAdd: HeaderOptionInit[];
  readonly toRemove: string[];
}

function join(before: EnvoyChanges, { set, add, remove }: HeaderChanges): EnvoyChanges {
  const gone = new Set(remove);
  const own = [
    ...set.map(([name, value]) => setHeader(name, literal(value))),
    ...add.map(([name, value]) => addHeader(name, literal(value))),
  ];
  return {
    toAdd: [...before.toAdd, ...own].filter(({ header }) => !gone.has(header?.key ?? "")),
    toRemove: [...new Set([...before.toRemove, ...gone])],
  };
}

/**
 * Changes one after the other. Envoy removes first and adds then; here what is removed is removed last, so that nothing
 * of that name is added before.
 */
export function headerChanges(...all: readonly (HeaderChanges | undefined)[]): EnvoyChanges {
  return all.reduce<EnvoyChanges>((before, changes) => (changes === undefined ? before : join(before, changes)), {
    toAdd: [],
    toRemove: [],
  });
}
