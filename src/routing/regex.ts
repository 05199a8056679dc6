import { RE2JS } from "re2js";

/** A user's pattern on a linear-time engine: the same dialect as Envoy's RE2. Applied to requests by a PatternBudget (B21). */
export interface Regex {
  readonly source: string;
  /** Instructions that it compiles to: time goes with this times the length of the text. */
  readonly size: number;
  /** What every text that matches begins with. */
  readonly prefix: string;
  /** Whether all of `text` matches. */
  readonly matches: (text: string) => boolean;
  /**
   * `text` with every match replaced; `\0` to `\9` in `substitution` are groups.
   *
   * @param step  Told before each search where it starts, and how long the result is by then.
   */
  readonly replaceAll: (text: string, substitution: string, step: (at: number, length: number) => void) => string;
}

export const isRegex = (value: object): value is Regex => "source" in value && "replaceAll" in value;

export type RegexResult =
  { readonly ok: true; readonly regex: Regex } | { readonly ok: false; readonly message: string };

const MAX_SOURCE = 1024;
const MAX_INSTRUCTIONS = 2000;

/** Repeat counts make short patterns large, so that what a pattern compiles to is limited as well as its text. */
export function compileRegex(source: string): RegexResult {
  if (source.length > MAX_SOURCE) return { ok: false, message: `pattern is longer than ${MAX_SOURCE} characters` };
  try {
    const compiled = RE2JS.compile(source, RE2JS.DOTALL);
    const size = compiled.programSize();
    if (size > MAX_INSTRUCTIONS)
      return {
        ok: false,
        message: `pattern compiles to ${size} instructions, more than ${MAX_INSTRUCTIONS}; make its repeat counts smaller`,
      };
    return { ok: true, regex: regexOf(source, size, compiled) };
  } catch (error) {
    return { ok: false, message: `not an RE2 pattern: ${error instanceof Error ? error.message : String(error)}` };
  }
}

function regexOf(source: string, size: number, compiled: RE2JS): Regex {
  return {
    source,
    size,
    prefix: prefixOf(source),
    matches: (text) => compiled.matcher(text).matches(),
    replaceAll: (text, substitution, step) => replaceAll(compiled, text, substitution, step),
  };
}

const LITERALS = /^\^?((?:[A-Za-z0-9/_~!@=:;,%&'-]|\\[./-])*)/;

/** Without it when there is any alternative to it, or it is repeated: rather too short than wrong. */
function prefixOf(source: string): string {
  const [start = "", literals = ""] = LITERALS.exec(source) ?? [];
  if (source.includes("|")) return "";
  const atoms = literals.match(/\\?./g) ?? [];
  if (/^[*+?{]/.test(source.slice(start.length))) atoms.pop();
  return atoms.map((atom) => atom.at(-1)).join("");
}

function replaceAll(
  compiled: RE2JS,
  text: string,
  substitution: string,
  step: (at: number, length: number) => void,
): string {
  const matcher = compiled.matcher(text);
  let out = "";
  let end = 0;
  while (matcher.find()) {
    out += text.slice(end, matcher.start());
    out += substitution.replaceAll(/\\([0-9\\])/g, (_, group: string) =>
      group === "\\" ? "\\" : (matcher.group(Number(group)) ?? ""),
    );
    end = matcher.end();
    step(end, out.length);
  }
  return out + text.slice(end);
}

/** The highest group that `substitution` names, -1 when none. */
export function highestGroup(substitution: string): number {
  let highest = -1;
  for (const [, group = ""] of substitution.matchAll(/\\([0-9\\])/g)) {
    if (group !== "\\") highest = Math.max(highest, Number(group));
  }
  return highest;
}

/** How many groups `source` captures; `source` must compile. */
export function groupCount(source: string): number {
  return RE2JS.compile(source).groupCount();
}
