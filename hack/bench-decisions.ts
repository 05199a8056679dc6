/** What a decision costs, by how many routes there are: on other hosts, and on the host that is asked for. */
import { parseObject } from "../src/api/objects.ts";
import { PatternBudget } from "../src/routing/pattern-budget.ts";
import { decide } from "../src/routing/decide.ts";
import type { RequestView } from "../src/routing/match.ts";
import type { RoutingTableView } from "../src/routing/routing-table.ts";
import { Store } from "../src/snapshot/store.ts";
import { Translator } from "../src/translate/translator.ts";

const COUNTS = [1, 100, 10_000];
const DECISIONS = 300_000;
const PORT = 18_999;

function tableOf(routes: readonly { readonly host: string; readonly path: string }[]): RoutingTableView {
  const store = new Store();
  const translator = new Translator(store, {
    classByName: true,
    bindAddress: "127.0.0.1",
    advertisedAddress: "127.0.0.1",
    allowLoopback: true,
    builtin: { httpPort: PORT, httpsPort: PORT + 1 },
  });
  store.transaction(() => {
    routes.forEach(({ host, path }, i) => {
      const filters = [{ type: "DirectResponse", directResponse: { statusCode: 200 } }];
      const rules = [{ matches: [{ path: { value: path } }], filters }];
      const metadata = { name: `r${i}`, namespace: "bench", uid: `r${i}`, generation: 1 };
      const parsed = parseObject("ServiceRoute", { metadata, spec: { hostnames: [host], rules } });
      if (!parsed.ok) throw new Error(parsed.message);
      store.apply(parsed.object);
    });
  });
  while (translator.flush() !== undefined);
  return translator.table;
}

function view(path: string): RequestView {
  const none = (): undefined => undefined;
  return { method: "GET", path, header: none, cookie: none, query: none, patterns: new PatternBudget() };
}

/** Nanoseconds of one decision, the shortest of five runs. */
function nanoseconds(table: RoutingTableView, host: string, path: string): number {
  const runs = Array.from({ length: 5 }, () => {
    const started = performance.now();
    for (let i = 0; i < DECISIONS; i++)
      if (decide(table, `127.0.0.1:${PORT}`, "", host, view(path)).kind !== "route") throw new Error("no route");
    return ((performance.now() - started) * 1e6) / DECISIONS;
  });
  return Math.min(...runs);
}

const list = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));

export interface DecisionCost {
  readonly routes: number;
  readonly onOtherHostsNs: number;
  readonly onTheSameHostNs: number;
}

export function decisionCosts(): DecisionCost[] {
  return COUNTS.map((routes) => {
    const middle = Math.floor(routes / 2);
    const others = tableOf(list(routes, (i) => ({ host: `h${i}.example.com`, path: "/shop" })));
    const same = tableOf(list(routes, (i) => ({ host: "h.example.com", path: `/shop/${i}` })));
    return {
      routes,
      onOtherHostsNs: nanoseconds(others, `h${middle}.example.com`, "/shop/cart/1"),
      onTheSameHostNs: nanoseconds(same, "h.example.com", `/shop/${middle}/cart/1`),
    };
  });
}
