import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ApiClient } from "../../src/kube/api-client.ts";
import { type Feed, ListWatch, type RawObject } from "../../src/kube/list-watch.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { until } from "../support/data-plane.ts";
import { type Call, FakeApi, isWatch, line, list, object, reply } from "../support/fake-api.ts";

const nameOf = (raw: RawObject): string => raw.metadata?.name ?? "";

describe("list and watch", () => {
  let api: FakeApi;
  let client: ApiClient;
  let stop: AbortController;
  let running: Promise<void>;
  const seen = {
    objects: new Set<string>(),
    replaced: 0,
    synced: 0,
    progress: "",
    failures: [] as string[],
    restarts: [] as string[],
  };

  const feed: Feed = {
    replace: (items) => {
      seen.objects = new Set(items.map(nameOf));
      seen.replaced++;
    },
    events: (events) => {
      for (const { type, object: raw } of events) {
        if (type === "DELETED") seen.objects.delete(nameOf(raw));
        else seen.objects.add(nameOf(raw));
      }
    },
    progress: (version) => (seen.progress = version),
    synced: () => seen.synced++,
    failed: (error) => error !== undefined && seen.failures.push(error.code),
    restarted: (reason) => seen.restarts.push(reason),
  };

  async function start(
    handler: ConstructorParameters<typeof FakeApi>[0],
    options: { absentWhen?: ("notFound" | "forbidden")[]; silenceMs?: number; feed?: Feed } = {},
  ): Promise<void> {
    api = new FakeApi(handler);
    client = await api.start();
    stop = new AbortController();
    running = new ListWatch({
      client,
      path: "/things",
      feed,
      log: createLogger("silent"),
      random: () => 0,
      absentWhen: [],
      ...options,
    }).start(stop.signal);
  }

  beforeEach(() =>
    Object.assign(seen, { objects: new Set(), replaced: 0, synced: 0, progress: "", failures: [], restarts: [] }),
  );
  afterEach(async () => {
    stop.abort();
    await api.stop();
    await running;
  });

  const lists = (call: Call): boolean => !isWatch(call);

  test("lists page by page, then follows events from there", async () => {
    await start((call, response) => {
      if (isWatch(call)) response.write(line("ADDED", object("c", "8")) + line("DELETED", object("a", "9")));
      else if (call.query.get("continue") === "p2") reply(response, 200, list("7", [object("b", "2")]));
      else reply(response, 200, list("7", [object("a", "1")], "p2"));
    });
    await until("events", () => seen.objects.has("c") && !seen.objects.has("a"));
    expect([[...seen.objects].sort(), seen.replaced, seen.synced, seen.progress]).toEqual([["b", "c"], 1, 1, "9"]);
    const watch = api.calls.find(isWatch);
    expect([watch?.query.get("resourceVersion"), watch?.query.get("allowWatchBookmarks")]).toEqual(["7", "true"]);
    expect(Number(watch?.query.get("timeoutSeconds"))).toBeGreaterThanOrEqual(300);
  });

  test.for([500, 410])("F4: a page that fails with %i replaces nothing", async (status) => {
    let failures = 0;
    await start((call, response) => {
      if (isWatch(call)) return;
      if (call.query.get("continue") === "p2" && failures++ === 0) reply(response, status, { message: "no" });
      else if (call.query.get("continue") === "p2") reply(response, 200, list("7", [object("b", "2")]));
      else reply(response, 200, list("7", [object("a", "1")], "p2"));
    });
    await until("the whole list", () => seen.replaced === 1);
    expect([...seen.objects].sort()).toEqual(["a", "b"]);
  });

  test("F6: a bookmark only moves the version; what is not understood is passed over", async () => {
    await start((call, response) => {
      if (isWatch(call))
        response.write(
          `${line("BOOKMARK", object("", "50"))}not json\n${line("STRANGE", object("s", "51"))}${line("ADDED", {})}${line("ADDED", object("good", "52"))}`,
        );
      else reply(response, 200, list("7", []));
    });
    await until("the good one", () => seen.objects.has("good"));
    expect([[...seen.objects], seen.progress]).toEqual([["good"], "52"]);
  });

  test("an event that comes in pieces is put together", async () => {
    await start((call, response) => {
      if (!isWatch(call)) return reply(response, 200, list("7", []));
      const text = line("ADDED", object("grüße", "8"));
      const bytes = Buffer.from(text);
      const middle = bytes.indexOf(Buffer.from("ü")) + 1;
      response.write(bytes.subarray(0, middle));
      setTimeout(() => response.write(bytes.subarray(middle)), 20);
    });
    await until("it", () => seen.objects.has("grüße"));
  });

  const gone = (status: string) => async (): Promise<void> => {
    let watches = 0;
    await start((call, response) => {
      if (isWatch(call) && watches++ > 0) return;
      if (!isWatch(call))
        return reply(
          response,
          200,
          list("9", watches === 0 ? [object("a", "1"), object("missed", "2")] : [object("a", "1")]),
        );
      if (status === "http") reply(response, 410, { code: 410, message: "too old" });
      else response.end(line("ERROR", { code: 410, message: "too old" }));
    });
    await until("a second list", () => seen.replaced === 2);
    expect([...seen.objects]).toEqual(["a"]);
  };
  test("F3: 410 as a status leads to a list that also shows what was deleted meanwhile", gone("http"));
  test("F3: 410 as an event does too", gone("event"));

  test.for(["cut", "empty"])("F3: two watches in a row that bring nothing (%s) lead to a list", async (how) => {
    await start((call, response, incoming) => {
      if (!isWatch(call)) reply(response, 200, list("9", []));
      else if (how === "cut") incoming.socket.destroy();
      else response.end();
    });
    await until("a second list", () => seen.replaced === 2, 8000);
  });

  test("F2: a silent watch is given up and opened again", async () => {
    await start(
      (call, response) => {
        if (!isWatch(call)) reply(response, 200, list("9", []));
        else response.writeHead(200).flushHeaders();
      },
      { silenceMs: 100 },
    );
    await until("it is opened again", () => api.count(isWatch) >= 2);
    expect(seen.restarts[0]).toBe("silent");
  });

  test("F2: an endless 410 is asked for ever more slowly", async () => {
    await start((call, response) => {
      if (!isWatch(call)) reply(response, 200, list("9", []));
      else response.end(line("ERROR", { code: 410 }));
    });
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(api.count(lists)).toBeLessThan(8);
    expect(api.count(isWatch)).toBeLessThan(8);
  });

  test("F1: what waits for an API server that was away is listed as soon as that has answered anybody", async () => {
    let isAway = true;
    await start((call, response, incoming) => {
      if (isAway) incoming.socket.destroy();
      else if (!isWatch(call)) reply(response, 200, list("9", []));
    });
    await until("a long wait", () => seen.failures.length === 5, 10_000);
    expect(client.outage?.aborted).toBe(false);
    isAway = false;
    const asked = performance.now();
    await client.json({ method: "GET", path: "/leases" });
    await until("listed", () => seen.replaced === 1);
    // The fifth wait is of 4 s at least.
    expect(performance.now() - asked).toBeLessThan(1000);
    expect(client.outage).toBeUndefined();
  });

  test("an API server that answers others and refuses us is asked ever more slowly", async () => {
    await start((call, response, incoming) => {
      if (call.path === "/things") incoming.socket.destroy();
      else reply(response, 200, {});
    });
    for (const end = performance.now() + 6000; performance.now() < end;) {
      await client.json({ method: "GET", path: "/leases" });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    // At 0; woken at once; then after waits of 0.25, 0.5, 1 and 2 s: the next is due after 8 s.
    expect(api.count(lists) - api.count(({ path }) => path === "/leases")).toBeLessThanOrEqual(7);
  });

  test("an API server that is too slow for us is not away", async () => {
    await start(() => undefined);
    const signal = AbortSignal.timeout(50);
    await expect(client.json({ method: "GET", path: "/slow", signal })).rejects.toMatchObject({ code: "unreachable" });
    expect(client.outage).toBeUndefined();
  });

  test("F8: a kind that is not there counts as empty at first, and is found when it comes", async () => {
    let installed = false;
    await start(
      (call, response) => {
        if (!installed) reply(response, 404, { message: "not found" });
        else if (!isWatch(call)) reply(response, 200, list("9", [object("a", "1")]));
      },
      { absentWhen: ["notFound"] },
    );
    await until("synced", () => seen.synced === 1);
    expect(seen.replaced).toBe(0);
    installed = true;
    await until("found", () => seen.objects.has("a"), 8000);
  });

  test("F39: a kind that vanishes keeps its last objects", async () => {
    let installed = true;
    await start(
      (call, response) => {
        if (!installed) reply(response, 404, { message: "not found" });
        else if (isWatch(call)) setTimeout(() => ((installed = false), response.end(line("ERROR", { code: 410 }))), 50);
        else reply(response, 200, list("9", [object("a", "1")]));
      },
      { absentWhen: ["notFound"] },
    );
    await until("it is gone", () => seen.failures.includes("notFound"));
    expect([[...seen.objects], seen.replaced]).toEqual([["a"], 1]);
  });

  test("F8: a required kind that is forbidden is told of and asked again", async () => {
    await start((_call, response) => reply(response, 403, { message: "forbidden" }));
    await until("told", () => seen.failures.length >= 2, 8000);
    expect([seen.failures[0], seen.synced]).toEqual(["forbidden", 0]);
  });

  test("F44: an API server that does not know us is told of with what to look at, and asked again", async () => {
    const words: string[] = [];
    const told = { ...feed, failed: (error?: Error) => void words.push(error?.message ?? "") };
    await start((_call, response) => reply(response, 401, { message: "Unauthorized" }), { feed: told });
    await until("told", () => words.length >= 2, 8000);
    expect(words[0]).toMatch(/^http\S+ does not know us \(Unauthorized\): check the token or certificate/);
  });

  test.for(["<html>busy</html>", "null", "[1]"])("an answer that is no object (%s) ends nothing", async (body) => {
    let answers = 0;
    await start((call, response) => {
      if (isWatch(call)) return;
      if (answers++ === 0) response.writeHead(200).end(body);
      else reply(response, 200, list("9", [object("a", "1")]));
    });
    await until("the list after it", () => seen.objects.has("a"), 8000);
  });
});
