import { z } from "zod";
import type { SpecError } from "../api/condition.ts";
import { RouteMatch } from "../api/match.ts";
import { RouteRule, RuleDefaults } from "../api/rule.ts";
import { MAX_MATCHES, ParentRef, routeShape } from "../api/service-route.ts";

/** One rule as it was written, or what is left of one that cannot be built. */
export type ParsedRule =
  | { readonly ok: true; readonly spec: RouteRule }
  /** `matches` are those that can be understood: they keep their precedence and answer 500 (fail closed). */
  | {
      readonly ok: false;
      readonly name: string | undefined;
      readonly matches: readonly RouteMatch[];
      readonly errors: readonly SpecError[];
    };

export interface ParsedRoute {
  readonly parentRefs: readonly ParentRef[];
  readonly useDefaultGateways: "All" | "None";
  readonly hostnames: readonly string[];
  readonly defaults: RuleDefaults;
  readonly rules: readonly ParsedRule[];
}

export type ParseOutcome =
  | { readonly ok: true; readonly route: ParsedRoute }
  /** What status says of a route that is refused as a whole: where it wanted to go, as far as that can be read. */
  | ({ readonly ok: false; readonly errors: readonly SpecError[] } & Pick<
      ParsedRoute,
      "parentRefs" | "useDefaultGateways" | "hostnames"
    >);

const Shell = z.strictObject({
  ...routeShape,
  defaults: z.unknown().optional(),
  rules: z.array(z.unknown()).min(1).max(64).optional(),
});

const NO_DEFAULTS: RuleDefaults = {};
const ONE_RULE: readonly ParsedRule[] = [{ ok: true, spec: {} }];

/** `rules[2].timeouts.request`: a path as kubectl and the API server write it. */
export function fieldPath(path: readonly PropertyKey[], prefix = ""): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text === "" ? String(part) : `${text}.${String(part)}`;
  }, prefix);
}

function errorsOf(error: z.ZodError, prefix: string): SpecError[] {
  return error.issues.map((issue) => ({
    field: fieldPath(issue.path, prefix),
    reason: "UnsupportedValue",
    message:
      issue.code === "unrecognized_keys"
        ? `unknown field ${issue.keys.map((k) => `"${k}"`).join(", ")}`
        : issue.message,
  }));
}

/**
 * A spec, checked again although the API server has checked it: CRD validation is no protection (Gateway API GEP-922),
 * and folders have no API server. Rules are parsed one by one.
 */
export function parseRoute(spec: unknown): ParseOutcome {
  if (spec === undefined || spec === null) {
    const errors: SpecError[] = [{ field: "spec", reason: "UnsupportedValue", message: "is required" }];
    return { ok: false, errors, ...salvageAttachment(spec) };
  }
  const shell = Shell.safeParse(spec);
  if (!shell.success) return { ok: false, errors: errorsOf(shell.error, ""), ...salvageAttachment(spec) };
  const defaults = RuleDefaults.safeParse(shell.data.defaults ?? NO_DEFAULTS);
  const defaultErrors = defaults.success ? [] : errorsOf(defaults.error, "defaults");
  const rules =
    shell.data.rules === undefined && defaults.success ? ONE_RULE : parseRules(shell.data.rules ?? [{}], defaultErrors);
  const matches = rules.reduce((sum, rule) => sum + matchCount(rule), 0);
  if (matches > MAX_MATCHES) {
    const message = `${matches} matches in the whole route; at most ${MAX_MATCHES} are allowed`;
    return { ok: false, errors: [{ field: "rules", reason: "UnsupportedValue", message }], ...salvageAttachment(spec) };
  }
  const { parentRefs = [], hostnames = [] } = shell.data;
  return {
    ok: true,
    route: {
      parentRefs,
      useDefaultGateways: shell.data.useDefaultGateways ?? (parentRefs.length === 0 ? "All" : "None"),
      hostnames,
      defaults: defaults.success ? defaults.data : NO_DEFAULTS,
      rules,
    },
  };
}

const matchCount = (rule: ParsedRule): number => Math.max(1, (rule.ok ? rule.spec.matches : rule.matches)?.length ?? 1);

function parseRules(raw: readonly unknown[], defaultErrors: readonly SpecError[]): ParsedRule[] {
  const names = new Set<string>();
  return raw.map((value, index) => {
    const parsed = RouteRule.safeParse(value);
    const errors = parsed.success ? [...defaultErrors] : errorsOf(parsed.error, `rules[${index}]`);
    const name = parsed.success ? parsed.data.name : salvageName(value);
    if (name !== undefined && names.has(name)) {
      errors.push({
        field: `rules[${index}].name`,
        reason: "UnsupportedValue",
        message: `"${name}" is the name of another rule`,
      });
    }
    if (name !== undefined) names.add(name);
    if (parsed.success && errors.length === 0) return { ok: true, spec: parsed.data };
    return { ok: false, name, matches: salvageMatches(value), errors };
  });
}

const Attachment = {
  parentRefs: z.array(ParentRef).max(32),
  hostnames: z.array(z.string().max(253)).max(64),
};

function salvageAttachment(spec: unknown): Pick<ParsedRoute, "parentRefs" | "useDefaultGateways" | "hostnames"> {
  const raw = (typeof spec === "object" && spec !== null ? spec : {}) as Record<string, unknown>;
  const parentRefs = Attachment.parentRefs.safeParse(raw["parentRefs"] ?? []);
  const hostnames = Attachment.hostnames.safeParse(raw["hostnames"] ?? []);
  const isDraft = raw["useDefaultGateways"] === "None" || raw["parentRefs"] !== undefined;
  return {
    parentRefs: parentRefs.success ? parentRefs.data : [],
    hostnames: hostnames.success ? hostnames.data : [],
    useDefaultGateways: raw["useDefaultGateways"] === "All" || !isDraft ? "All" : "None",
  };
}

function salvageName(rule: unknown): string | undefined {
  const parsed = RouteRule.shape.name.safeParse((rule as { name?: unknown } | null)?.name);
  return parsed.success ? parsed.data : undefined;
}

/** The matches of a rule that are good by themselves. A rule without `matches` matches everything, bad or not. */
function salvageMatches(rule: unknown): RouteMatch[] {
  const matches = (rule as { matches?: unknown } | null)?.matches;
  if (matches === undefined || matches === null) return [{}];
  if (!Array.isArray(matches)) return [];
  return matches.slice(0, 64).flatMap((match) => {
    const parsed = RouteMatch.safeParse(match);
    return parsed.success ? [parsed.data] : [];
  });
}
