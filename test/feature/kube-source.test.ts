import type { ServerResponse } from "node:http";
import { afterEach, expect, test } from "vitest";
import { KubeSource } from "../../src/sources/kube/kube-source.ts";
import { Store } from "../../src/snapshot/store.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { Metrics } from "../../src/telemetry/metrics.ts";
import { until } from "../support/data-plane.ts";
import { FakeApi, isWatch, list, reply } from "../support/fake-api.ts";

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** A source at an API server that has nothing, but answers lists of some resources as a test says. */
async function sourceAt(
  answers: Readonly<Record<string, (response: ServerResponse) => void>>,
  namespace?: string,
): Promise<KubeSource> {
  const api = new FakeApi((call, response) => {
    const resource = call.path.split("/").at(-1) ?? "";
    const answer = answers[resource];
    if (answer !== undefined) answer(response);
    else if (isWatch(call)) response.flushHeaders();
    else reply(response, 200, list("10", []));
  });
  const source = new KubeSource({
    client: await api.start(),
    store: new Store(),
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
  return source;
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
