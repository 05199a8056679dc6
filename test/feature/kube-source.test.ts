import type { ServerResponse } from "node:http";
import { afterEach, expect, test } from "vitest";
import { KubeSource } from "../../src/sources/kube/kube-source.ts";
import { Store } from "../../src/snapshot/store.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { Metrics } from "../../src/telemetry/metrics.ts";
import { until } from "../support/data-plane.ts";
import { type Call, FakeApi, isWatch, line, list, reply } from "../support/fake-api.ts";

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** A source at an API server that has nothing, but answers lists of some resources as a test says. */
async function sourceAt(
  answers: Readonly<Record<string, (response: ServerResponse, call: Call) => void>>,
  namespace?: string,
): Promise<KubeSource & { readonly store: Store }> {
  const store = new Store();
  const api = new FakeApi((call, response) => {
    const resource = call.path.split("/").at(-1) ?? "";
    const answer = answers[resource];
    if (answer !== undefined) answer(response, call);
    else if (isWatch(call)) response.flushHeaders();
    else reply(response, 200, list("10", []));
  });
  const source = new KubeSource({
    client: await api.start(),
    store,
    log: createLogger("silent"),
    metrics: new Metrics(),
    namespace,
    random: () => 0,
    changed: () => undefined,
    onRaw: () => undefined,
    onProgress: () => undefined,
  });
  const stop = new AbortController();
  const running = source.start(stop.signal);
  cleanups.push(async () => {
    stop.abort();
    await running;
    await api.stop();
  });
  return Object.assign(source, { store });
}
const forbidden = (response: ServerResponse): void => reply(response, 403, { message: "not for you" });
const absent = (response: ServerResponse): void => reply(response, 404, { message: "no such resource" });

test.for([
  "serviceroutes",
  "gateways",
  "gatewayclasses",
  "referencegrants",
  "services",
  "endpointslices",
  "namespaces",
])("F8: %s that may not be listed are waited for: that is no empty list", async (resource) => {
  const source = await sourceAt({ [resource]: forbidden });
  await until("all others are listed", () => source.unlisted.length === 1);
  await until("it is told", () => source.waitingFor().endsWith(": not for you"));
});

test.for(["serviceroutes", "gateways", "services", "endpointslices"])(
  "F8: %s of the one namespace that is looked at are waited for, too",
  async (resource) => {
    const source = await sourceAt({ [resource]: forbidden }, "shop");
    await until("all others are listed", () => source.unlisted.length === 1);
  },
);

test("F8: of what belongs to the whole cluster nothing is seen from one namespace, and nobody waits for it", async () => {
  const source = await sourceAt({ gatewayclasses: forbidden, namespaces: forbidden }, "shop");
  await source.synced();
});

test("F39: resources that are not installed are nothing to wait for", async () => {
  const missing = { serviceroutes: absent, gateways: absent, gatewayclasses: absent, referencegrants: absent };
  await (await sourceAt(missing)).synced();
});

test("F9: what has not been listed is known by kind, so that only that is filled from elsewhere", async () => {
  const source = await sourceAt({ endpointslices: () => undefined });
  await until("the others are listed", () => source.unlisted.length === 1);
  expect(source.unlisted).toEqual(["EndpointSlice"]);
});

test.for([true, false])(
  "F6: an object that became one that cannot be used stays as it was, but a grant that cannot be read grants nothing (relist: %s)",
  async (isRelist) => {
    const named = (name: string, spec: object): object => ({
      metadata: { name, namespace: "default", uid: name, resourceVersion: "5" },
      spec,
    });
    const grant = { from: [{ group: "g", kind: "K", namespace: "n" }], to: [{ group: "", kind: "Service" }] };
    const good: Record<string, object> = {
      services: named("s", { ports: [{ port: 80 }] }),
      referencegrants: named("s", grant),
    };
    const bad: Record<string, object> = {
      services: named("s", { ports: 7 }),
      referencegrants: named("s", { from: 7, to: 7 }),
    };
    const lists: Record<string, number> = {};
    const answer = (resource: string) => (response: ServerResponse, call: Call) => {
      if (!isWatch(call)) {
        lists[resource] = (lists[resource] ?? 0) + 1;
        reply(response, 200, list("10", [(lists[resource] === 1 ? good : bad)[resource]!]));
      } else if (isRelist) response.end(line("ERROR", { code: 410 }));
      else {
        response.writeHead(200);
        response.write(line("MODIFIED", bad[resource]!));
      }
    };
    const source = await sourceAt({ services: answer("services"), referencegrants: answer("referencegrants") });
    await source.synced();
    await until("the grant is gone", () => source.store.keys("ReferenceGrant").size === 0, 5000);
    if (isRelist) await until("listed again", () => (lists["services"] ?? 0) > 1, 5000);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([...source.store.keys("Service")]).toEqual(["Service/default/s"]);
  },
);

test("a Service made anew under an old name is never served as what the old one was", async () => {
  const made = (uid: string, ports: unknown): object => ({
    metadata: { name: "s", namespace: "default", uid, resourceVersion: "5" },
    spec: { ports },
  });
  let lists = 0;
  const source = await sourceAt({
    services: (response, call) => {
      if (!isWatch(call))
        reply(response, 200, list("10", [lists++ === 0 ? made("old", [{ port: 80 }]) : made("new", 7)]));
      else if (lists === 1) response.end(line("ERROR", { code: 410 }));
      else response.flushHeaders();
    },
  });
  await source.synced();
  await until("listed again, and it is gone", () => lists > 1 && source.store.keys("Service").size === 0, 5000);
});
