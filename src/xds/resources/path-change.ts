import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RegexMatchAndSubstituteSchema } from "../generated/envoy/type/matcher/v3/regex_pb.js";
import type { PathChange, PathMatch } from "../../routing/rule.ts";
import { quoted } from "./strings.ts";

/** How Envoy changes a path: a pattern and what stands in its place. */
export type Substitution = MessageInitShape<typeof RegexMatchAndSubstituteSchema>;

const substitution = (regex: string, replacement: string): Substitution => ({
  pattern: { regex },
  substitution: replacement,
});

const literal = (text: string): string => text.replaceAll("\\", "\\\\");

/**
 * What of the path stays after the matched prefix is nothing or begins with a slash; one slash joins it to what stands
 * before.
 */
function prefixChange(replacement: string, match: PathMatch): Substitution {
  const prefix = match.kind === "prefix" ? match.value : "";
  if (replacement === "" || replacement.endsWith("/")) {
    const whole = replacement === "" ? "/" : replacement;
    return substitution(`^${quoted(prefix)}/?`, literal(whole));
  }
  return prefix === ""
    ? substitution("^/", literal(`${replacement}/`))
    : substitution(`^${quoted(prefix)}`, literal(replacement));
}

/** @source Gateway API v1 HTTPPathModifier, table of prefix replacements. */
export function pathChange(change: PathChange, match: PathMatch): Substitution {
  switch (change.kind) {
    case "full":
      return substitution("^/.*$", literal(change.value));
    case "prefix":
      return prefixChange(change.value, match);
    case "regex":
      return substitution(change.regex.source, change.substitution);
    default:
      return change satisfies never;
  }
}
