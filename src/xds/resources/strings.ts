import type { MessageInitShape } from "@bufbuild/protobuf";
import type { StringMatcherSchema } from "../generated/envoy/type/matcher/v3/string_pb.js";
import type { ValueMatch } from "../../routing/rule.ts";

export type StringMatcherInit = MessageInitShape<typeof StringMatcherSchema>;

export const exactly = (value: string): StringMatcherInit => ({ matchPattern: { case: "exact", value } });
export const fully = (regex: string): StringMatcherInit => ({
  matchPattern: { case: "safeRegex", value: { regex } },
});

export const stringMatch = (match: ValueMatch): StringMatcherInit =>
  match.kind === "exact" ? exactly(match.value) : fully(match.regex.source);

/** Text that a pattern takes for itself. */
export const quoted = (text: string): string => text.replaceAll(/[\\.+*?()|[\]{}^$]/g, "\\$&");

/** A header's value with nothing for Envoy to put in (S4, B29). */
export const literal = (value: string): string => value.replaceAll("%", "%%");
