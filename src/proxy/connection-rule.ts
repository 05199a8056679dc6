import type { ListenerId } from "../routing/listener.ts";
import type { RequestView } from "../routing/match.ts";
import { PatternBudget } from "../routing/pattern-budget.ts";
import type { RoutingTableView } from "../routing/routing-table.ts";
import type { ReasonWord, RouteRule } from "../routing/rule.ts";
import type { GatewayContext } from "./gateway-context.ts";
import { type Receiver, chooseReceiver } from "./receiver.ts";

/** What every match of a rule without matches takes. */
const ANYTHING: RequestView = {
  method: "",
  path: "/",
  patterns: new PatternBudget(() => 0),
  header: () => undefined,
  query: () => undefined,
  cookie: () => undefined,
};

export type ConnectionReceiver = Extract<Receiver, { kind: "cluster" }> & { readonly rule: RouteRule };

/** Who serves what comes by a rule, or why nobody does. */
export function connectionReceiver(
  context: GatewayContext,
  rule: RouteRule | undefined,
): ConnectionReceiver | ReasonWord {
  if (rule === undefined) return "NoRoute";
  const { action } = rule;
  if (action.kind === "fail") return action.reason;
  if (action.kind !== "forward") return "InvalidRule";
  const receiver = chooseReceiver(context, action);
  return receiver.kind === "none" ? receiver.reason : { ...receiver, rule };
}

/**
 * The rule for what is no request: of two routes on one listener the older one comes first.
 *
 * @param host  SNI, or any host where there is none.
 */
export function connectionRule(table: RoutingTableView, listener: ListenerId, host: string): RouteRule | undefined {
  return table.virtualHost(listener, host)?.host.match(ANYTHING)?.rule;
}
