/** What a decision costs, by how many routes there are: on other hosts, and on the host that is asked for, told apart in several ways. */
import { parseObject } from "../src/api/objects.ts";
import { PatternBudget } from "../src/routing/pattern-budget.ts";
import { decide } from "../src/routing/decide.ts";
import type { RequestView } from "../src/routing/match.ts";
import type { RoutingTableView } from "../src/routing/routing-table.ts";
import { Store } from "../src/snapshot/store.ts";
import { Translator } from "../src/translate/translator.ts";

const COUNTS = [1, 100, 10_000];
const DECISIONS = 300_000;
const MOST_OPEN = 1000;
const PORT = 18_999;

interface Route {
  readonly host: string;
  readonly match: Readonly<Record<string, unknown>>;
}

function tableOf(routes: readonly Route[]): RoutingTableView {
  const store = new Store();
  const translator = new Translator(store, {
    classByName: true,
    bindAddress: "127.0.0.1",
    advertisedAddress: "127.0.0.1",
    allowLoopback: true,
    builtin: { httpPort: PORT, httpsPort: PORT + 1 },
  });
  store.transaction(() => {
    routes.forEach(({ host, match }, i) => {
      const filters = [{ type: "DirectResponse", directResponse: { statusCode: 200 } }];
      const rules = [{ matches: [match], filters }];
      const metadata = { name: `r${i}`, namespace: "bench", uid: `r${i}`, generation: 1 };
      const parsed = parseObject("ServiceRoute", { metadata, spec: { hostnames: [host], rules } });
      if (!parsed.ok) throw new Error(parsed.message);
      store.apply(parsed.object);
    });
  });
  while (translator.flush() !== undefined);
  return translator.table;
}

function view(path: string, tenant: string): RequestView {
  const none = (): undefined => undefined;
  return { method: "GET", path, header: () => tenant, cookie: none, query: none, patterns: new PatternBudget() };
}

/** Nanoseconds of one decision, the shortest of five runs. */
function nanoseconds(routes: readonly Route[], path: string, decisions = DECISIONS): number {
  const table = tableOf(routes);
  const middle = Math.floor(routes.length / 2);
  const { host } = routes[middle] ?? { host: "" };
  const runs = Array.from({ length: 5 }, () => {
    const started = performance.now();
    for (let i = 0; i < decisions; i++)
      if (decide(table, `127.0.0.1:${PORT}`, "", host, view(path, `t${middle}`)).kind !== "route")
        throw new Error("no route");
    return ((performance.now() - started) * 1e6) / decisions;
  });
  return Math.min(...runs);
}

const list = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));

export interface DecisionCost {
  readonly routes: number;
  readonly onOtherHostsNs: number;
  readonly onTheSameHostNs: number;
  /** On the same host and path, by the value of a header. */
  readonly byHeaderNs: number;
  /** On the same host, by patterns that begin with different segments. */
  readonly byPatternNs: number;
  /** On the same host, by patterns that begin alike, so that all are tried: of a thousand at most. */
  readonly byOpenPatternNs: number;
}

const HOST = "h.example.com";
const pattern = (value: string): Route => ({ host: HOST, match: { path: { type: "RegularExpression", value } } });

export function decisionCosts(): DecisionCost[] {
  return COUNTS.map((routes) => {
    const middle = Math.floor(routes / 2);
    const open = Math.min(routes, MOST_OPEN);
    const header = (i: number) => [{ name: "x-tenant", value: `t${i}` }];
    return {
      routes,
      onOtherHostsNs: nanoseconds(
        list(routes, (i) => ({ host: `h${i}.example.com`, match: { path: { value: "/shop" } } })),
        "/shop/cart/1",
      ),
      onTheSameHostNs: nanoseconds(
        list(routes, (i) => ({ host: HOST, match: { path: { value: `/shop/${i}` } } })),
        `/shop/${middle}/cart/1`,
      ),
      byHeaderNs: nanoseconds(
        list(routes, (i) => ({ host: HOST, match: { path: { value: "/shop" }, headers: header(i) } })),
        "/shop/cart/1",
      ),
      byPatternNs: nanoseconds(
        list(routes, (i) => pattern(`/shop/t${i}/[0-9]+`)),
        `/shop/t${middle}/1`,
      ),
      byOpenPatternNs: nanoseconds(
        list(open, (i) => pattern(`/[a-z]+/t${i}/[0-9]+`)),
        `/shop/t${Math.floor(open / 2)}/1`,
        3000,
      ),
    };
  });
}
