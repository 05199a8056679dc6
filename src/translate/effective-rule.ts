import type { RouteFilter } from "../api/filter.ts";
import type { RouteRule, RuleDefaults } from "../api/rule.ts";

/** Filter types that exclude each other count as one place: a rule that fills it drops the default's content of it. */
const SLOT: Readonly<Partial<Record<RouteFilter["type"], string>>> = {
  RequestRedirect: "terminal",
  URLRewrite: "terminal",
  DirectResponse: "terminal",
};

const slotOf = (filter: RouteFilter): string => SLOT[filter.type] ?? filter.type;

export interface LocatedFilter {
  readonly filter: RouteFilter;
  /** Where it was written, for messages. */
  readonly field: string;
}

export interface EffectiveRule {
  readonly spec: RouteRule;
  readonly filters: readonly LocatedFilter[];
  /** The path of a policy field: in the rule, or in `defaults` when it comes from there. */
  readonly fieldOf: (name: keyof RuleDefaults) => string;
}

/** A rule with `spec.defaults` applied: a field of the rule replaces the default's whole, filters merge by slot. */
export function effectiveRule(spec: RouteRule, defaults: RuleDefaults, field: string): EffectiveRule {
  const own = (spec.filters ?? []).map((filter, i) => ({ filter, field: `${field}.filters[${i}]` }));
  const filled = new Set(own.map(({ filter }) => slotOf(filter)));
  const inherited = (defaults.filters ?? [])
    .map((filter, i) => ({ filter, field: `defaults.filters[${i}]` }))
    .filter(({ filter }) => !filled.has(slotOf(filter)));
  return {
    spec: { ...defaults, ...spec },
    filters: [...inherited, ...own],
    fieldOf: (name) =>
      spec[name] === undefined && defaults[name] !== undefined ? `defaults.${name}` : `${field}.${name}`,
  };
}
