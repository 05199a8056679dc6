import { Writable } from "node:stream";
import { pino } from "pino";
import { afterEach, expect, test } from "vitest";
import type { Condition, ConditionStatus } from "../../src/api/condition.ts";
import { keyOf } from "../../src/api/keys.ts";
import { EventRecorder } from "../../src/status/events.ts";
import { until } from "../support/data-plane.ts";
import { FakeApi, reply } from "../support/fake-api.ts";

interface Event {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly eventTime: string;
  readonly regarding: object;
}
const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

const condition = (status: ConditionStatus): Condition => ({
  type: "Accepted",
  status,
  reason: "UnsupportedValue",
  message: "why",
  lastTransitionTime: "2026-01-01T00:00:00Z",
});

/** What a recorder posts to an API server that answers with this. */
async function rigWith(status: number) {
  const said: object[] = [];
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      said.push(JSON.parse(chunk.toString()) as object);
      done();
    },
  });
  const api = new FakeApi((_call, response) => reply(response, status, {}));
  const recorder = new EventRecorder(await api.start(), pino({ level: "debug" }, sink), "pod-1");
  cleanups.push(async () => api.stop());
  const posted = async (count: number): Promise<Event[]> => {
    await until("posted", () => api.calls.length === count);
    return api.calls.map(({ body }) => body as Event);
  };
  return { api, recorder, posted, said };
}

test("a transition is told as an event beside its object, and what is no transition is not", async () => {
  const rig = await rigWith(201);
  const key = keyOf("ServiceRoute", "shop", "cart");
  rig.recorder.record(key, "uid-7", [condition("False")], [condition("False")]);
  rig.recorder.record(key, "uid-7", [condition("True")], [condition("False")]);
  const [event] = await rig.posted(1);
  expect(rig.api.calls[0]).toMatchObject({ method: "POST", path: "/apis/events.k8s.io/v1/namespaces/shop/events" });
  expect(event).toEqual({
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    metadata: { name: expect.stringMatching(/^cart\.[0-9a-f]{12,}$/) as string, namespace: "shop" },
    eventTime: expect.stringMatching(/^[0-9-]{10}T[0-9:]{8}\.[0-9]{6}Z$/) as string,
    reportingController: "serviceroute.dev/controller",
    reportingInstance: "pod-1",
    action: "Reconcile",
    type: "Warning",
    reason: "UnsupportedValue",
    note: "why",
    regarding: {
      apiVersion: "serviceroute.dev/v1alpha1",
      kind: "ServiceRoute",
      namespace: "shop",
      name: "cart",
      uid: "uid-7",
    },
  });
  expect(Math.abs(Date.parse(event!.eventTime) - Date.now())).toBeLessThan(60_000);
});

test("an event of an object of the whole cluster goes to the namespace default, and names none", async () => {
  const rig = await rigWith(201);
  rig.recorder.tell(keyOf("GatewayClass", "", "c"), "u", { type: "Normal", reason: "Accepted", note: "" });
  const [event] = await rig.posted(1);
  expect(rig.api.calls[0]?.path).toBe("/apis/events.k8s.io/v1/namespaces/default/events");
  expect(event?.metadata.namespace).toBe("default");
  expect(event?.regarding).toEqual({
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "GatewayClass",
    name: "c",
    uid: "u",
  });
});

test("events of one moment and of the longest names have names of their own that the API server takes", async () => {
  const rig = await rigWith(201);
  const key = keyOf("ServiceRoute", "shop", "x".repeat(253));
  for (let n = 0; n < 50; n++) rig.recorder.tell(key, "u", { type: "Normal", reason: "Accepted", note: "" });
  const names = (await rig.posted(50)).map(({ metadata }) => metadata.name);
  expect(new Set(names).size).toBe(50);
  for (const name of names) expect(name).toMatch(/^x{200}\.[0-9a-f]{12,14}$/);
});

test("an event that cannot be written is tried once, and said in the debug log", async () => {
  const rig = await rigWith(500);
  rig.recorder.tell(keyOf("ServiceRoute", "shop", "cart"), "u", { type: "Normal", reason: "Accepted", note: "" });
  await until("said", () => rig.said.length === 1);
  expect(rig.said[0]).toMatchObject({
    level: 20,
    msg: "an event could not be written",
    object: "ServiceRoute/shop/cart",
    err: { message: expect.any(String) as string },
  });
  expect(rig.api.calls.length).toBe(1);
});
