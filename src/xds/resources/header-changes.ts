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

/** Envoy removes first and adds then; here what is removed is removed last, so that nothing of that name is added. */
export function headerChanges(changes: HeaderChanges | undefined): EnvoyChanges {
  if (changes === undefined) return { toAdd: [], toRemove: [] };
  const gone = new Set(changes.remove);
  const stays = ([name]: readonly [string, string]): boolean => !gone.has(name);
  return {
    toAdd: [
      ...changes.set.filter(stays).map(([name, value]) => setHeader(name, literal(value))),
      ...changes.add.filter(stays).map(([name, value]) => addHeader(name, literal(value))),
    ],
    toRemove: [...gone],
  };
}
