import { describe, expect, test } from "vitest";
import type { Condition, ConditionStatus, DesiredCondition } from "../../src/api/condition.ts";
import { type Key, keyOf } from "../../src/api/keys.ts";
import { CONTROLLER_NAME } from "../../src/api/kinds.ts";
import type { DesiredGatewayStatus, DesiredRouteStatus } from "../../src/routing/status-report.ts";
import { latched, latchedGateway } from "../../src/status/latch.ts";
import { type GatewayStatus, mergeGatewayStatus, mergeRouteStatus } from "../../src/status/merge.ts";
import { StatusBook } from "../../src/status/status-book.ts";

const NOW = "2026-01-01T00:00:00Z";
const LATER = "2026-02-02T00:00:00Z";
const OTHER = "other.example/controller";

const wanted = (type: string, status: ConditionStatus, message = "", generation = 3): DesiredCondition => ({
  type,
  status,
  reason: status,
  message,
  observedGeneration: generation,
});
const at = (time: string, condition: DesiredCondition): Condition => ({ ...condition, lastTransitionTime: time });
const entry = (name: string, ...conditions: DesiredCondition[]): DesiredRouteStatus["parents"][number] => ({
  parentRef: { group: "gateway.networking.k8s.io", kind: "Gateway", namespace: "default", name },
  controllerName: CONTROLLER_NAME,
  conditions,
});
function route(
  conditions: readonly DesiredCondition[] = [wanted("Accepted", "True"), wanted("Programmed", "Unknown")],
  parents = [entry("gw", ...conditions)],
): DesiredRouteStatus {
  return {
    generation: 3,
    conditions,
    parents,
    rules: [{ name: "rules[0]" }],
    summary: { hostnames: "*", endpoints: "1/1", proxies: "0/0" },
  };
}

describe("a route's status over the one that is there", () => {
  test("is written whole where there is none", () => {
    expect(mergeRouteStatus(undefined, route(), NOW)).toEqual({
      observedGeneration: 3,
      conditions: route().conditions.map((one) => at(NOW, one)),
      parents: [{ ...entry("gw"), conditions: route().conditions.map((one) => at(NOW, one)) }],
      rules: route().rules,
      summary: route().summary,
    });
  });

  test("F14: that is equal is the same object; times move only with the status of their condition", () => {
    const first = mergeRouteStatus(undefined, route(), NOW);
    expect(mergeRouteStatus(first, route(), LATER)).toBe(first);
    expect(mergeRouteStatus(structuredClone(first), route(), LATER)).toEqual(first);
    const now = route([wanted("Accepted", "False"), wanted("Programmed", "Unknown", "otherwise")]);
    const next = mergeRouteStatus(first, now, LATER);
    for (const list of [next.conditions, next.parents?.[0]?.conditions])
      expect(list?.map((one) => [one.type, one.status, one.message, one.lastTransitionTime])).toEqual([
        ["Accepted", "False", "", LATER],
        ["Programmed", "Unknown", "otherwise", NOW],
      ]);
  });

  test.for<[string, Partial<DesiredRouteStatus>]>([
    ["generation", { generation: 4 }],
    ["rule", { rules: [] }],
    ["summary", { summary: { hostnames: "*", endpoints: "0/1", proxies: "0/0" } }],
    ["parent", { parents: [] }],
  ])("is written when a %s differs", ([, change]) => {
    const first = mergeRouteStatus(undefined, route(), NOW);
    const next = mergeRouteStatus(first, { ...route(), ...change }, LATER);
    expect(next).not.toBe(first);
    expect(next).not.toEqual(first);
  });

  test("F23: leaves entries of others as they are and where they are, of the same parent too; ours are replaced in place", () => {
    const foreign = { ...entry("gw"), controllerName: OTHER, conditions: [at(NOW, wanted("Theirs", "True"))] };
    const own = (name: string, time: string, ...conditions: DesiredCondition[]) => ({
      ...entry(name),
      conditions: conditions.map((one) => at(time, one)),
    });
    const yes = wanted("Accepted", "True");
    const live = {
      ...mergeRouteStatus(undefined, route([yes], []), NOW),
      parents: [own("gone", NOW, yes), foreign, own("b", NOW, yes), own("a", NOW, yes)],
    };
    const next = mergeRouteStatus(
      live,
      route([yes], [entry("new", yes), entry("a", yes), entry("b", wanted("Accepted", "False"))]),
      LATER,
    );
    expect(next.parents).toEqual([
      foreign,
      own("b", LATER, wanted("Accepted", "False")),
      own("a", NOW, yes),
      own("new", LATER, yes),
    ]);
    expect(next.parents?.[0]).toBe(foreign);
    const ours = mergeRouteStatus({ ...live, parents: [foreign] }, route([yes], [entry("gw", yes)]), LATER);
    expect(ours.parents).toEqual([foreign, own("gw", LATER, yes)]);
  });
});

const listener = (name: string, ...conditions: DesiredCondition[]): DesiredGatewayStatus["listeners"][number] => ({
  name,
  attachedRoutes: 1,
  supportedKinds: [{ group: "serviceroute.dev", kind: "ServiceRoute" }],
  conditions,
});
function gateway(
  programmed: ConditionStatus,
  addresses: readonly string[] = ["192.0.2.1"],
  listeners: DesiredGatewayStatus["listeners"] = [
    listener("a", wanted("Accepted", "True"), wanted("Programmed", programmed)),
  ],
): DesiredGatewayStatus {
  return {
    generation: 3,
    addresses: addresses.map((value) => ({ type: "IPAddress", value })),
    conditions: [wanted("Accepted", "True"), wanted("Programmed", programmed)],
    listeners,
  };
}

describe("a Gateway's status over the one that is there", () => {
  const first = mergeGatewayStatus(undefined, gateway("True"), NOW);

  test("is written whole where there is none", () => {
    expect(first).toEqual({
      addresses: [{ type: "IPAddress", value: "192.0.2.1" }],
      conditions: gateway("True").conditions.map((one) => at(NOW, one)),
      listeners: [{ ...listener("a"), conditions: gateway("True").conditions.map((one) => at(NOW, one)) }],
    });
    expect(mergeGatewayStatus({}, gateway("True"), NOW)).toEqual(first);
  });

  test("that differs in fields, conditions or the order of others alone is not written", () => {
    const theirs = at(NOW, wanted("Theirs", "True"));
    const live: GatewayStatus = {
      ...first,
      conditions: [theirs, ...(first.conditions ?? []).toReversed()],
      ...{ attachedListenerSets: 0 },
    };
    expect(mergeGatewayStatus(live, gateway("True"), LATER)).toBe(live);
    const next = mergeGatewayStatus(live, gateway("False"), LATER);
    expect(next.conditions?.map((one) => [one.type, one.status, one.lastTransitionTime])).toEqual([
      ["Accepted", "True", NOW],
      ["Programmed", "False", LATER],
      ["Theirs", "True", NOW],
    ]);
    expect(next.listeners?.[0]?.conditions.map((one) => one.lastTransitionTime)).toEqual([NOW, LATER]);
  });

  test.for<[string, DesiredGatewayStatus]>([
    ["an address", gateway("True", ["192.0.2.2"])],
    ["no address", gateway("True", [])],
    ["a listener", gateway("True", ["192.0.2.1"], [])],
    ["a listener's name", gateway("True", ["192.0.2.1"], [listener("b", ...gateway("True").conditions)])],
  ])("is written when %s differs", ([, change]) => {
    const next = mergeGatewayStatus(first, change, LATER);
    expect(next).not.toBe(first);
    expect(next).not.toEqual(first);
    for (const one of next.listeners ?? [])
      expect(one.conditions[0]?.lastTransitionTime).toBe(one.name === "a" ? NOW : LATER);
  });
});

const statusIn = (
  { conditions }: { readonly conditions: readonly { type: string; status: string; message: string }[] },
  type = "Programmed",
): string => {
  const found = conditions.find((one) => one.type === type);
  return `${found?.status} ${found?.message}`;
};

describe("Programmed, once said of a route", () => {
  const conditions = (status: ConditionStatus, message: string) => [
    wanted("Accepted", "True", `accepted ${message}`),
    wanted("Programmed", status, message),
    wanted("Ready", status, `ready ${message}`),
  ];
  const said = { ...route(conditions("True", "before")), summary: { ...route().summary, proxies: "2/2" } };
  const live = mergeRouteStatus(undefined, said, NOW);
  const now = route(conditions("Unknown", "now"));

  test("is kept while it is counted anew, with what stands beside it", () => {
    const kept = latched(live, now);
    for (const list of [kept, kept.parents[0]!]) {
      expect(["Accepted", "Programmed", "Ready"].map((type) => statusIn(list, type))).toEqual([
        "True accepted now",
        "True before",
        "True ready before",
      ]);
    }
    expect(kept.summary).toEqual({ hostnames: "*", endpoints: "1/1", proxies: "2/2" });
    const foreign = { ...entry("x"), controllerName: OTHER, conditions: [] };
    expect(statusIn(latched({ ...live, parents: [foreign, ...(live.parents ?? [])] }, now))).toBe("True before");
  });

  test("is kept where nothing else waits, and beside a status that a former release wrote", () => {
    const bare = { ...live };
    delete bare.summary;
    const alone = route([wanted("Accepted", "True", "now"), wanted("Programmed", "Unknown", "now")]);
    const kept = latched({ ...bare, parents: live.parents!.map((one) => ({ ...one, conditions: [] })) }, alone);
    expect([statusIn(kept), kept.parents.map((parent) => statusIn(parent)), kept.summary]).toEqual([
      "True before",
      ["Unknown now"],
      alone.summary,
    ]);
    const parentless = { ...live };
    delete parentless.parents;
    const orphan = route(conditions("Unknown", "now"), []);
    expect(statusIn(latched(parentless, orphan))).toBe("True before");
  });

  test("is kept whatever the order of the parents, and of the fields that name them", () => {
    const two = (status: ConditionStatus, text: string, names: readonly string[]): DesiredRouteStatus =>
      route(
        conditions(status, text),
        names.map((name) => entry(name, ...conditions(status, `${text} ${name}`))),
      );
    const before = mergeRouteStatus(undefined, two("True", "before", ["a", "b"]), NOW);
    const turned = before.parents?.map((parent) => ({
      ...parent,
      parentRef: Object.fromEntries(Object.entries(parent.parentRef).toReversed()) as typeof parent.parentRef,
    }));
    const kept = latched({ ...before, parents: turned ?? [] }, two("Unknown", "now", ["b", "a"]));
    expect(kept.parents.map((parent) => statusIn(parent))).toEqual(["True before b", "True before a"]);
  });

  test.for<[string, Parameters<typeof latched>]>([
    ["nothing was said", [undefined, now]],
    ["it was said of another generation", [{ ...live, observedGeneration: 2 }, now]],
    ["it was not said", [mergeRouteStatus(undefined, route(conditions("Unknown", "before")), NOW), now]],
    ["nothing at all was said of it", [{ ...live, conditions: [] }, now]],
    ["it has another parent", [live, route(conditions("Unknown", "now"), [entry("other")])]],
    ["it has a parent more", [live, route(conditions("Unknown", "now"), [...now.parents, entry("other")])]],
    ["what is there has no parents", [{ ...live, parents: [] }, now]],
    [
      "what is there has the parents of others",
      [{ ...live, parents: [{ ...live.parents![0]!, controllerName: OTHER }] }, now],
    ],
    ["it is refused", [live, route(conditions("False", "now"))]],
    [
      "it is refused while something else waits",
      [live, route([wanted("Accepted", "Unknown"), wanted("Programmed", "False")])],
    ],
  ])("is taken back when %s", ([, [before, desired]]) => {
    expect(latched(before, desired)).toBe(desired);
  });
});

describe("Programmed, once said of a Gateway", () => {
  const live = mergeGatewayStatus(undefined, gateway("True", ["192.0.2.7"]), NOW);
  const { listeners } = gateway("Unknown");
  const messages = ({ conditions, listeners: list }: DesiredGatewayStatus): string[] =>
    [{ conditions }, ...list].map((one) => statusIn(one));

  test("is kept while it is counted anew, addresses and listeners too", () => {
    const kept = latchedGateway(live, gateway("Unknown", []));
    expect([kept.addresses, messages(kept)]).toEqual([[{ type: "IPAddress", value: "192.0.2.7" }], ["True ", "True "]]);
    expect(statusIn(kept, "Accepted")).toBe("True ");
    const types = ["Hostname", "IPAddress", undefined].map((type) => ({
      ...(type === undefined ? {} : { type }),
      value: "x",
    }));
    expect(latchedGateway({ ...live, addresses: types }, gateway("Unknown", [])).addresses).toEqual([
      { type: "Hostname", value: "x" },
      { type: "IPAddress", value: "x" },
      { type: "IPAddress", value: "x" },
    ]);
    const bare = { ...live };
    delete bare.listeners;
    expect(latchedGateway(bare, gateway("Unknown", [])).listeners).toEqual(listeners);
  });

  test("is that of its own condition, whatever else is there", () => {
    const both = (accepted: ConditionStatus, programmed: ConditionStatus): DesiredGatewayStatus => ({
      ...gateway("True"),
      conditions: [wanted("Accepted", accepted, "accepted"), wanted("Programmed", programmed, "programmed")],
    });
    const [yes, no] = [both("False", "True"), both("True", "False")].map((one) =>
      mergeGatewayStatus(undefined, one, NOW),
    );
    expect(statusIn(latchedGateway(yes, both("True", "Unknown")))).toBe("True programmed");
    expect(statusIn(latchedGateway(no, both("True", "Unknown")))).toBe("Unknown programmed");
    const refused = both("Unknown", "False");
    expect(latchedGateway(yes, refused)).toBe(refused);
    const nothing = { ...both("Unknown", "True"), conditions: [] };
    expect(latchedGateway(yes, nothing)).toBe(nothing);
  });

  test("is not kept of a listener that is new, or that has failed, or for what else is not known", () => {
    const now = gateway(
      "Unknown",
      [],
      [
        listener("a", wanted("Programmed", "False", "in use"), wanted("Accepted", "Unknown", "later")),
        listener("new", wanted("Programmed", "Unknown", "new")),
      ],
    );
    const kept = latchedGateway(live, now);
    expect(messages(kept)).toEqual(["True ", "False in use", "Unknown new"]);
    expect(statusIn(kept.listeners[0]!, "Accepted")).toBe("Unknown later");
  });

  test("of another generation is counted anew, but its addresses stay: an edit takes no name out of the DNS", () => {
    const older = { ...live, conditions: live.conditions?.map((one) => ({ ...one, observedGeneration: 2 })) ?? [] };
    for (const before of [older, mergeGatewayStatus(undefined, gateway("Unknown", ["192.0.2.7"]), NOW)]) {
      const next = latchedGateway(before, gateway("Unknown", []));
      expect([next.addresses.map(({ value }) => value), messages(next)]).toEqual([
        ["192.0.2.7"],
        ["Unknown ", "Unknown "],
      ]);
    }
  });

  test("is what is said now when that is no waiting, or when there was nothing", () => {
    for (const status of ["True", "False"] as const) {
      const now = gateway(status, [], listeners);
      expect(latchedGateway(live, now)).toBe(now);
    }
    expect(latchedGateway(undefined, gateway("Unknown", []))).toEqual(gateway("Unknown", []));
    expect(latchedGateway({}, gateway("Unknown", []))).toEqual(gateway("Unknown", []));
  });
});

describe("statuses without an API server", () => {
  test("have transition times, and go with their object", () => {
    const routes = new Map<Key, DesiredRouteStatus>();
    const gatewayStatuses = new Map<Key<"Gateway">, DesiredGatewayStatus>();
    let now = NOW;
    const book = new StatusBook(
      () => ({ routeStatus: (key) => routes.get(key), gatewayStatuses }),
      () => now,
    );
    const [r, g] = [keyOf("ServiceRoute", "default", "r"), keyOf("Gateway", "default", "g")];
    const tell = (): void => {
      book.routesChanged([r]);
      book.gatewaysChanged([g]);
    };
    expect([book.get(r), book.get(g)]).toEqual([undefined, undefined]);
    routes.set(r, route());
    gatewayStatuses.set(g, gateway("True"));
    tell();
    expect(book.get(r)).toEqual(mergeRouteStatus(undefined, route(), NOW));
    expect(book.get(g)).toEqual(mergeGatewayStatus(undefined, gateway("True"), NOW));
    now = LATER;
    tell();
    expect(book.get(r)).toEqual(mergeRouteStatus(undefined, route(), NOW));
    expect(book.get(g)).toEqual(mergeGatewayStatus(undefined, gateway("True"), NOW));
    routes.delete(r);
    gatewayStatuses.delete(g);
    tell();
    expect([book.get(r), book.get(g)]).toEqual([undefined, undefined]);
  });
});
