import { afterEach, describe, expect, test } from "vitest";
import { type Key, keyOf } from "../../src/api/keys.ts";
import { StatusWriter, type StatusWrite } from "../../src/status/status-writer.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { until } from "../support/data-plane.ts";
import { FakeApi, reply } from "../support/fake-api.ts";

const key = (name: string): Key<"ServiceRoute"> => keyOf("ServiceRoute", "default", name);
const log = createLogger("silent");
const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

interface Rig {
  readonly api: FakeApi;
  readonly writer: StatusWriter;
  readonly fights: string[];
  /** Of the statuses that the API server will never take: which, and why. */
  readonly refusals: string[];
  /** How each write ended, as the metric counts it. */
  readonly results: string[];
  leading: boolean;
  now: number;
  /** Of the live object: another one when somebody else has written. */
  version: string;
}

async function writerRig(
  handler: ConstructorParameters<typeof FakeApi>[0],
  desiredOf: () => StatusWrite | undefined,
): Promise<Rig> {
  const api = new FakeApi(handler);
  const client = await api.start();
  const fights: string[] = [];
  const refusals: string[] = [];
  const results: string[] = [];
  const rig: Rig = {
    api,
    fights,
    refusals,
    results,
    leading: true,
    now: 0,
    version: "5",
    writer: new StatusWriter({
      client,
      log,
      random: () => 0,
      monotonic: () => performance.now() + rig.now,
      isLeader: () => rig.leading,
      live: () => ({ uid: "u", resourceVersion: rig.version, generation: 1, status: undefined }),
      desired: desiredOf,
      answered: () => undefined,
      written: (k, result) => results.push(`${k} ${result}`),
      refused: (k, _live, why) => refusals.push(`${k}: ${why}`),
      fighting: (k) => fights.push(k),
    }),
  };
  const stop = new AbortController();
  const running = rig.writer.start(stop.signal);
  cleanups.push(async () => {
    stop.abort();
    await running;
    await api.stop();
  });
  return rig;
}

describe("the status writer", () => {
  test("writes over the version that was read, and only the status", async () => {
    const rig = await writerRig(
      (_call, response) => reply(response, 200, {}),
      () => ({ status: { a: 1 } }),
    );
    rig.writer.mark([key("r")]);
    await until("written", () => rig.api.calls.length === 1);
    expect(rig.api.calls[0]).toMatchObject({
      method: "PATCH",
      path: "/apis/serviceroute.dev/v1alpha1/namespaces/default/serviceroutes/r/status",
      body: { metadata: { resourceVersion: "5", uid: "u" }, status: { a: 1 } },
    });
  });

  test("at most once a second an object, the newest", async () => {
    let n = 0;
    const rig = await writerRig(
      (_call, response) => reply(response, 200, {}),
      () => ({ status: { n } }),
    );
    for (; n < 20; n++) {
      rig.writer.mark([key("r")]);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(rig.api.calls.length).toBe(1);
    await until("the newest", () => rig.api.calls.length === 2, 3000);
    expect(rig.api.calls[1]?.body).toMatchObject({ status: { n: 20 } });
  });

  test("P6: a follower writes nothing", async () => {
    const rig = await writerRig(
      (_call, response) => reply(response, 200, {}),
      () => ({ status: {} }),
    );
    rig.leading = false;
    rig.writer.mark([key("r")]);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(rig.api.calls).toEqual([]);
    rig.leading = true;
    await until("as leader it does", () => rig.api.calls.length === 1, 3000);
  });

  test("F24: conflicts for ever make no storm, and what is done after a write waits for it", async () => {
    let done = 0;
    const rig = await writerRig(
      (_call, response) => reply(response, 409, { message: "conflict" }),
      () => ({ status: {}, done: () => done++ }),
    );
    rig.writer.mark([key("r")]);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(rig.api.calls.length).toBeLessThan(6);
    expect(done).toBe(0);
  });

  test("F25: Retry-After is honoured", async () => {
    const rig = await writerRig(
      (_call, response) => reply(response, 429, {}, { "retry-after": "2" }),
      () => ({ status: {} }),
    );
    rig.writer.mark([key("r")]);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(rig.api.calls.length).toBe(1);
  });

  test("F26: a status that the server refuses is not tried again, and others go on", async () => {
    const rig = await writerRig(
      (call, response) => reply(response, call.path.includes("/bad/") ? 422 : 200, {}),
      () => ({ status: {} }),
    );
    rig.writer.mark([key("bad"), key("good")]);
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(rig.api.count(({ path }) => path.includes("/bad/"))).toBe(1);
    expect(rig.api.count(({ path }) => path.includes("/good/"))).toBe(1);
    expect(rig.refusals).toEqual([expect.stringContaining("ServiceRoute/default/bad: ")]);
    expect(rig.results.sort()).toEqual(["ServiceRoute/default/bad error", "ServiceRoute/default/good written"]);
  });

  test("F25: at most eight writes are on their way at a time", async () => {
    const open: (() => void)[] = [];
    const rig = await writerRig(
      (_call, response) => open.push(() => reply(response, 200, {})),
      () => ({ status: {} }),
    );
    rig.writer.mark(Array.from({ length: 20 }, (_, i) => key(`r${i}`)));
    await until("some are on their way", () => open.length >= 8);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(open.length).toBe(8);
    while (rig.results.length < 20) {
      open.splice(0).forEach((answer) => answer());
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(rig.api.calls.length).toBe(20);
  });

  test("F24: conflicts are tried again, and are no fight with anybody", async () => {
    let conflicts = 4;
    const rig = await writerRig(
      (_call, response) => reply(response, rig.api.calls.length > 1 && conflicts-- > 0 ? 409 : 200, {}),
      () => ({ status: { mine: true } }),
    );
    rig.writer.mark([key("r")]);
    await until("written", () => rig.api.calls.length === 1);
    const again = setInterval(() => {
      rig.now += 2000;
      rig.writer.mark([key("r")]);
    }, 20);
    await until("all conflicts", () => conflicts < 0, 5000);
    clearInterval(again);
    expect(rig.fights).toEqual([]);
  });

  test("F23: a fight ends after five rounds, with a word", async () => {
    const rig = await writerRig(
      (_call, response) => reply(response, 200, {}),
      () => ({ status: { mine: true } }),
    );
    const rounds = setInterval(() => {
      rig.now += 1000;
      rig.version = String(rig.now);
      rig.writer.mark([key("r")]);
    }, 20);
    await until("it is told", () => rig.fights.length === 1, 5000);
    const written = rig.api.calls.length;
    clearInterval(rounds);
    rig.writer.mark([key("r")]);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect([written, rig.api.calls.length]).toEqual([5, 5]);
  });
});
