import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RouteSchema } from "../generated/envoy/config/route/v3/route_components_pb.js";
import type { MatchEntry } from "../../routing/precedence.ts";
import { MIRRORED_BY } from "../../routing/reasons.ts";
import type { RouteRule } from "../../routing/rule.ts";
import type { ProxyOptions } from "../options.ts";
import { corsVariants } from "./cors-variants.ts";
import type { HeaderOptionInit } from "./header-changes.ts";
import { failure } from "./local-answer.ts";
import { type HeaderMatchInit, headerContains, headerOver } from "./route-match.ts";

type ActionInit = NonNullable<MessageInitShape<typeof RouteSchema>["action"]>;

/** Requests of one kind that a match takes, and what is special about them. */
export interface Variant {
  /** How they are told from others. */
  readonly headers: readonly HeaderMatchInit[];
  /** What their answers carry. */
  readonly answer: readonly HeaderOptionInit[];
  /** How they are answered, if not as the rule says. */
  readonly instead?: ActionInit;
  /** Whether the rule's header changes hold for that answer, too. */
  readonly isPreflight?: boolean;
  /** Whether they are copies of ours already. */
  readonly isCopy?: boolean;
}

const PREFLIGHT: ActionInit = { case: "directResponse", value: { status: 204 } };

function byOrigin({ match: { method }, rule: { filters } }: MatchEntry): readonly Variant[] {
  if (filters.cors === undefined) return [{ headers: [], answer: [] }];
  const mayAsk = method === undefined || method === "OPTIONS";
  return corsVariants(filters.cors).flatMap(({ headers, answer, isPreflight }): Variant[] => {
    if (!isPreflight) return [{ headers, answer }];
    return mayAsk ? [{ headers, answer, isPreflight, instead: PREFLIGHT }] : [];
  });
}

/** A body whose length is said is refused before any of it is read; of others an endpoint's own filter counts the bytes. */
function bySize(
  variant: Variant,
  { policy: { maxRequestBody } }: RouteRule,
  options: ProxyOptions,
): readonly Variant[] {
  if (maxRequestBody === 0 || variant.isPreflight === true) return [variant];
  const { directResponse, headers: said } = failure("BodyTooLarge", options);
  const tooLarge: Variant = {
    headers: [...variant.headers, headerOver("content-length", maxRequestBody)],
    answer: [...said, ...variant.answer],
    instead: { case: "directResponse", value: directResponse },
  };
  return [tooLarge, variant];
}

export function hasMirrors({ action, filters }: RouteRule): boolean {
  if (action.kind !== "forward") return false;
  return [filters, ...action.backends.map((backend) => backend.filters)].some(({ mirrors }) => mirrors.length > 0);
}

/** A copy that comes back, because a mirror leads to the gateway, is not copied again. */
function byCopy(variant: Variant, rule: RouteRule, mark: string): readonly Variant[] {
  if (!hasMirrors(rule) || variant.instead !== undefined) return [variant];
  return [{ ...variant, headers: [...variant.headers, headerContains(MIRRORED_BY, mark)], isCopy: true }, variant];
}

/**
 * The kinds of requests that a match takes, in the order in which they are to be compared.
 *
 * @param mark  What copies of the hostname's requests carry.
 */
export function variantsOf(entry: MatchEntry, mark: string, options: ProxyOptions): readonly Variant[] {
  const { rule } = entry;
  return byOrigin(entry)
    .flatMap((variant) => bySize(variant, rule, options))
    .flatMap((variant) => byCopy(variant, rule, mark));
}
