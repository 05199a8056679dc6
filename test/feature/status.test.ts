import { Writable } from "node:stream";
import { pino } from "pino";
import { afterEach, describe, expect, test } from "vitest";
import { type Key, keyOf } from "../../src/api/keys.ts";
import { StatusWriter, type StatusWrite } from "../../src/status/status-writer.ts";
import { until } from "../support/data-plane.ts";
import { FakeApi, reply } from "../support/fake-api.ts";

const key = (name: string): Key<"ServiceRoute"> => keyOf("ServiceRoute", "default", name);
const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

interface Line {
  readonly msg: string;
  readonly object?: Key;
  readonly code?: string;
  readonly err?: string;
}

interface Rig {
  readonly api: FakeApi;
  readonly writer: StatusWriter;
  readonly fights: string[];
  /** Of the statuses that the API server will never take: which, and why. */
  readonly refusals: string[];
  /** How each write ended, as the metric counts it. */
  readonly results: string[];
  readonly answers: (readonly [Key, object])[];
  /** What was logged. */
  readonly lines: readonly Line[];
  readonly said: () => string[];
  readonly stop: () => Promise<void>;
  /** Whether the objects are no more there. */
  gone: boolean;
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
  const answers: (readonly [Key, object])[] = [];
  const lines: Line[] = [];
  const stopping = new AbortController();
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      lines.push(JSON.parse(chunk.toString()) as Line);
      done();
    },
  });
  const rig: Rig = {
    api,
    fights,
    refusals,
    results,
    answers,
    lines,
    said: () => lines.map(({ msg }) => msg),
    stop: async () => {
      stopping.abort();
      await running;
    },
    gone: false,
    leading: true,
    now: 0,
    version: "5",
    writer: new StatusWriter({
      client,
      log: pino(sink),
      random: () => 0,
      monotonic: () => performance.now() + rig.now,
      isLeader: () => rig.leading,
      live: () => (rig.gone ? undefined : { uid: "u", resourceVersion: rig.version, generation: 1, status: undefined }),
      desired: (_key, live) => {
        if ((live as unknown) === undefined) throw new Error("asked about what is not there");
        return desiredOf();
      },
      answered: (k, object) => answers.push([k, object]),
      written: (k, result) => results.push(`${k} ${result}`),
      refused: (k, _live, why) => refusals.push(`${k}: ${why}`),
      fighting: (k) => fights.push(k),
    }),
  };
  const running = rig.writer.start(stopping.signal);
  cleanups.push(async () => {
    await rig.stop();
    await api.stop();
  });
  return rig;
}

describe("the status writer", () => {
  test("writes over the version that was read, and only the status", async () => {
    let contentType: string | undefined;
    const rig = await writerRig(
      (_call, response, { headers }) => {
        contentType = headers["content-type"];
        reply(response, 200, {});
      },
      () => ({ status: { a: 1 } }),
    );
    rig.writer.mark([key("r")]);
    await until("written", () => rig.api.calls.length === 1);
    expect(contentType).toBe("application/merge-patch+json");
    expect(rig.api.calls[0]).toMatchObject({
      method: "PATCH",
      path: "/apis/serviceroute.dev/v1alpha1/namespaces/default/serviceroutes/r/status",
      body: { metadata: { resourceVersion: "5", uid: "u" }, status: { a: 1 } },
    });
  });

  test("an object of the whole cluster has a path without a namespace; what the server answers is handed on", async () => {
    const rig = await writerRig(
      (_call, response) => reply(response, 200, { kind: "GatewayClass" }),
      () => ({ status: {} }),
    );
    rig.writer.mark([keyOf("GatewayClass", "", "c")]);
    await until("written", () => rig.results.length === 1);
    expect(rig.api.calls[0]?.path).toBe("/apis/gateway.networking.k8s.io/v1/gatewayclasses/c/status");
    expect(rig.answers).toEqual([["GatewayClass//c", { kind: "GatewayClass" }]]);
    expect(rig.said()).toEqual([]);
  });

  test("what has nothing to write, is not there, or was forgotten meanwhile, is not written", async () => {
    const wanted: StatusWrite[] = [];
    const rig = await writerRig(
      (_call, response) => reply(response, 200, {}),
      () => wanted[0],
    );
    rig.writer.mark([key("nothing")]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    wanted.push({ status: {} });
    rig.gone = true;
    rig.writer.mark([key("gone")]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    rig.gone = false;
    rig.leading = false;
    rig.writer.mark([key("forgotten"), key("kept")]);
    rig.writer.forget(key("forgotten"));
    rig.leading = true;
    await until("the other is", () => rig.results.length === 1, 3000);
    expect(rig.results).toEqual(["ServiceRoute/default/kept written"]);
  });

  test("what was forgotten and comes again is new: it waits for no second of the old one", async () => {
    const rig = await writerRig(
      (_call, response) => reply(response, 200, {}),
      () => ({ status: {} }),
    );
    rig.writer.mark([key("r")]);
    await until("written", () => rig.results.length === 1);
    rig.writer.forget(key("r"));
    rig.writer.mark([key("r")]);
    await until("written again", () => rig.results.length === 2, 500);
  });

  test("one that is on its way is not sent again beside it, however long it takes; at the end nobody waits for it", async () => {
    const rig = await writerRig(
      () => undefined,
      () => ({ status: {} }),
    );
    rig.writer.mark([key("r")]);
    await until("sent", () => rig.api.calls.length === 1);
    rig.now += 5000;
    rig.writer.mark([key("r")]);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(rig.api.calls.length).toBe(1);
    const started = performance.now();
    await rig.stop();
    expect(performance.now() - started).toBeLessThan(500);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([rig.said(), rig.results]).toEqual([[], []]);
  });

  test("one that failed is tried again without being asked", async () => {
    const rig = await writerRig(
      (_call, response) => reply(response, rig.api.calls.length === 1 ? 500 : 200, {}),
      () => ({ status: {} }),
    );
    rig.writer.mark([key("r")]);
    await until("written", () => rig.results.length === 2, 3000);
    expect(rig.results[1]).toBe("ServiceRoute/default/r written");
  });

  test("what is new is written at once, though others wait for their second", async () => {
    let n = 0;
    const rig = await writerRig(
      (_call, response) => reply(response, 200, {}),
      () => ({ status: { n: n++ } }),
    );
    rig.writer.mark([key("a")]);
    await until("written", () => rig.results.length === 1);
    rig.writer.mark([key("a"), key("b")]);
    await until("the other", () => rig.results.length === 2, 500);
    expect(rig.results[1]).toBe("ServiceRoute/default/b written");
    await until("its second is over", () => rig.results.length === 3, 1500);
  });

  test("who leads no more by the time of the write writes it when it leads again", async () => {
    let asked = 0;
    const rig = await writerRig(
      (_call, response) => reply(response, 200, {}),
      () => {
        rig.leading = ++asked > 1;
        return { status: {} };
      },
    );
    rig.writer.mark([key("r")]);
    await until("asked", () => !rig.leading);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(rig.api.calls).toEqual([]);
    rig.leading = true;
    await until("written", () => rig.api.calls.length === 1, 3000);
  });

  test.for<[number, readonly string[], readonly string[]]>([
    [404, [], []],
    [409, ["conflict"], []],
    [500, ["error"], ["a status could not be written; trying again"]],
    [422, ["error"], ["the API server refuses this status; it is not tried again until it changes"]],
  ])("answered with %s it counts and says what that is", async ([status, results, said]) => {
    const rig = await writerRig(
      (_call, response) => reply(response, status, {}),
      () => ({ status: {} }),
    );
    rig.writer.mark([key("r")]);
    await until("asked", () => rig.api.calls.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([rig.results.map((one) => one.split(" ")[1]), rig.said()]).toEqual([results, said]);
    for (const one of rig.lines) expect(one).toMatchObject({ object: key("r"), err: expect.any(String) as string });
    if (status === 500) expect(rig.lines[0]?.code).toBe("server");
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
    open.shift()?.();
    await until("the next goes when one is done", () => open.length === 8, 500);
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
    expect(rig.lines).toMatchObject([
      { msg: "another controller keeps rewriting this status; waiting a minute", object: key("r") },
    ]);
    rig.now += 61_000;
    rig.writer.mark([key("r")]);
    await until("a minute later it is written again", () => rig.api.calls.length === 6, 5000);
  });

  test("F23: what is changed back now and then, but not five times within a minute, is no fight", async () => {
    const rig = await writerRig(
      (_call, response) => reply(response, 200, {}),
      () => ({ status: { mine: true } }),
    );
    for (let round = 1; round <= 8; round++) {
      rig.now += 16_000;
      rig.writer.mark([key("r")]);
      await until("written", () => rig.api.calls.length === round);
    }
    expect([rig.fights, rig.said()]).toEqual([[], []]);
  });

  test("F23: what changes in nothing but a time says the same, and what differs is no fight", async () => {
    let n = 0;
    let changes = false;
    const rig = await writerRig(
      (_call, response) => reply(response, 200, {}),
      () => ({ status: { n: changes ? n : 0, conditions: [{ lastTransitionTime: String(n++) }] } }),
    );
    const rounds = (): NodeJS.Timeout =>
      setInterval(() => {
        rig.now += 1000;
        rig.writer.mark([key("r")]);
      }, 20);
    changes = true;
    let again = rounds();
    await until("many", () => rig.api.calls.length > 12, 5000);
    clearInterval(again);
    expect(rig.fights).toEqual([]);
    changes = false;
    again = rounds();
    await until("told", () => rig.fights.length === 1, 5000);
    clearInterval(again);
  });
});
