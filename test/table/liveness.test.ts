import { describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import { ListenerLiveness } from "../../src/controller/listener-liveness.ts";
import { Liveness } from "../../src/controller/liveness.ts";
import type { Listener, ListenerId } from "../../src/routing/listener.ts";
import { EVERY_LISTENER, type ListenerState, type ReplicaReport } from "../../src/routing/programmed.ts";
import { readNotServing, writeNotServing } from "../../src/status/not-serving.ts";

const ROUTE = keyOf("ServiceRoute", "default", "r");
const GATEWAY = keyOf("Gateway", "infra", "public");
const WEB = "infra/public/web" as ListenerId;
const SERVING: ListenerState = { kind: "serving" };
const TAKEN = "port 80 of 198.51.100.1 cannot be bound: is in use";

const replica = (report: Partial<ReplicaReport>): ReplicaReport => ({
  replica: "b",
  servedThrough: 0n,
  gatewaysThrough: 0n,
  notServing: new Map(),
  ...report,
});

describe("counting who serves a route", () => {
  const counted = (): { liveness: Liveness; said: () => string | undefined } => {
    let said: string | undefined;
    return { liveness: new Liveness((_key, { live, total }) => (said = `${live}/${total}`), true), said: () => said };
  };
  const version = (resourceVersion: string, generation = 1, uid = "u") => ({ uid, generation, resourceVersion });

  test("all replicas must have come as far as the route", () => {
    const { liveness, said } = counted();
    liveness.reported([replica({ servedThrough: 9n })]);
    liveness.published(ROUTE, version("10"));
    expect(said()).toBe("1/2");
    liveness.reported([replica({ servedThrough: 10n })]);
    expect(said()).toBe("2/2");
  });

  test("a replica that joins later takes nothing back", () => {
    const { liveness, said } = counted();
    liveness.published(ROUTE, version("10"));
    liveness.reported([replica({ servedThrough: 1n })]);
    expect(said()).toBe("1/1");
  });

  test("a new generation, and a new object of the same name, count anew (F37)", () => {
    const { liveness, said } = counted();
    liveness.published(ROUTE, version("10"));
    liveness.reported([replica({ servedThrough: 10n })]);
    for (const next of [version("11", 2), version("12", 2, "other")]) {
      liveness.published(ROUTE, next);
      expect(said()).toBe("1/2");
      liveness.reported([replica({ servedThrough: 12n })]);
      liveness.reported([replica({ servedThrough: 10n })]);
    }
  });
});

describe("counting who serves a listener", () => {
  const version = (resourceVersion: string, generation = 1) => ({ uid: "u", generation, resourceVersion });
  /** A Gateway whose listener this replica serves, at resourceVersion 10. */
  function served(others: readonly ReplicaReport[] = []) {
    const said = new Map<ListenerId, ListenerState | undefined>();
    const listeners = new ListenerLiveness((id, state) => said.set(id, state), false);
    listeners.reported(others);
    listeners.published(new Map([[WEB, { id: WEB } as Listener]]));
    listeners.gatewayPublished(GATEWAY, version("10"));
    listeners.said(WEB, SERVING);
    return { listeners, said: () => said.get(WEB) };
  }
  const waiting = (): ReplicaReport => replica({ gatewaysThrough: 9n });
  const has = (notServing: Readonly<Record<string, string>> = {}): ReplicaReport =>
    replica({ gatewaysThrough: 10n, notServing: new Map(Object.entries(notServing) as [ListenerId, string][]) });

  test("nothing serves before the other replicas have been heard", () => {
    let said: ListenerState | undefined;
    const listeners = new ListenerLiveness((_id, state) => (said = state), false);
    listeners.published(new Map([[WEB, { id: WEB } as Listener]]));
    expect([...listeners.notServing()]).toEqual([[WEB, ""]]);
    listeners.said(WEB, SERVING);
    expect(said).toBeUndefined();
    listeners.reported([]);
    expect(said).toEqual(SERVING);
  });

  test("every replica must have the Gateway, and must have bound its port", () => {
    const { listeners, said } = served([waiting()]);
    expect(said()).toBeUndefined();
    for (const report of [waiting(), has({ [WEB]: "" })]) {
      listeners.reported([report]);
      expect(said()).toBeUndefined();
    }
    listeners.reported([has()]);
    expect(said()).toEqual(SERVING);
  });

  test("F52: a port that another replica cannot bind is said so until it can", () => {
    const { listeners, said } = served();
    listeners.reported([has({ [WEB]: TAKEN }), has()]);
    expect(said()).toEqual({ kind: "failed", reason: "PortUnavailable", message: `on 1 of 3 replicas: ${TAKEN}` });
    listeners.said(WEB, { kind: "failed", reason: "PortUnavailable", message: TAKEN });
    expect(said()).toMatchObject({ message: `on 2 of 3 replicas: ${TAKEN}` });
    listeners.said(WEB, SERVING);
    listeners.reported([has(), has()]);
    expect(said()).toEqual(SERVING);
  });

  test("a replica that joins later takes nothing back; a new generation counts anew", () => {
    const { listeners, said } = served();
    listeners.reported([has()]);
    listeners.reported([has(), waiting()]);
    expect(said()).toEqual(SERVING);
    listeners.gatewayPublished(GATEWAY, version("11", 2));
    expect(said()).toBeUndefined();
    listeners.reported([replica({ gatewaysThrough: 11n }), replica({ gatewaysThrough: 12n })]);
    expect(said()).toEqual(SERVING);
  });

  test("a listener that is gone says nothing, whatever others still tell", () => {
    const { listeners, said } = served();
    listeners.reported([has({ [WEB]: TAKEN })]);
    listeners.published(new Map([[WEB, undefined]]));
    listeners.gatewayPublished(GATEWAY, undefined);
    expect(said()).toBeUndefined();
    expect(listeners.notServing().size).toBe(0);
  });

  test("too many to tell of stand for all; what nobody understands is not taken for serving", () => {
    const many = new Map(
      Array.from({ length: 501 }, (_, i) => [`infra/public/${i}` as ListenerId, i === 7 ? TAKEN : ""]),
    );
    expect([...readNotServing(writeNotServing(many))]).toEqual([[EVERY_LISTENER, TAKEN]]);
    expect(readNotServing(writeNotServing(new Map([[WEB, TAKEN]])))).toEqual(new Map([[WEB, TAKEN]]));
    expect(readNotServing(writeNotServing(new Map())).size).toBe(0);
    for (const odd of [undefined, "", "[", "null", "7"])
      expect([...readNotServing(odd)]).toEqual([[EVERY_LISTENER, ""]]);
    const { listeners, said } = served();
    listeners.reported([has({ [EVERY_LISTENER]: TAKEN })]);
    expect(said()).toMatchObject({ kind: "failed" });
    listeners.reported([has()]);
    expect(said()).toEqual(SERVING);
  });
});
