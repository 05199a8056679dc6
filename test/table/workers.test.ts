import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Registry } from "prom-client";
import { describe, expect, test } from "vitest";
import { argumentsFor } from "../../src/commands/fork-worker.ts";
import { probePort } from "../../src/commands/probe-port.ts";
import { tableDump } from "../../src/commands/table-dump.ts";
import type { ListenerState } from "../../src/routing/programmed.ts";
import { type ListenerId, PrivateKey } from "../../src/routing/listener.ts";
import { RoutingTable, type TableDiff, emptyDiff } from "../../src/routing/routing-table.ts";
import { MergedRequests, type RequestSeries } from "../../src/telemetry/merged-requests.ts";
import { RequestMetrics, type ServedBy } from "../../src/telemetry/request-metrics.ts";
import { ConnectionShares } from "../../src/workers/connection-shares.ts";
import { ListenerAgreement } from "../../src/workers/listener-agreement.ts";
import { PortClaims } from "../../src/workers/port-claims.ts";
import { TableFeed } from "../../src/workers/table-feed.ts";
import { TableFollower } from "../../src/workers/table-follower.ts";
import { partsOfDiff } from "../../src/workers/wire.ts";
import { pipeline, routeYaml, secretYaml, serviceYaml } from "../support/objects.ts";
import { GATEWAY } from "../support/gateway-rig.ts";
import { Pki } from "../support/pki.ts";
import { fc } from "../support/property.ts";
import { manifestOf, writtenRoute } from "../support/random-routes.ts";

const whole = ({ listeners, routes, endpoints }: TableDiff): TableDiff => ({ listeners, routes, endpoints });

const atOnce = (read: () => void): void => read();

/** A table at the other end of the wire. */
function copyOf(table: TableDiff): { table: RoutingTable; applied: number[] } {
  const copy = new RoutingTable();
  const applied: number[] = [];
  const follower = new TableFollower(copy, (_, version) => applied.push(version), atOnce);
  const parts = partsOfDiff(whole(table));
  parts.forEach((bytes, at) => follower.read(bytes, at === parts.length - 1 ? 7 : undefined));
  return { table: copy, applied };
}

describe("a table on its way to a worker", () => {
  test("any table is the same at the other end", () => {
    const names = ["r0", "r1", "r2"];
    fc.assert(
      fc.property(fc.array(writtenRoute(names), { maxLength: 6 }), (routes) => {
        const rig = pipeline();
        const services = ["s0", "s1", "s2"].map((name) => serviceYaml(name));
        rig.apply([...services, ...routes.map((route) => manifestOf(route))].join(""));
        expect(tableDump(copyOf(rig.translator.table).table)).toEqual(tableDump(rig.translator.table));
      }),
      { numRuns: 100 },
    );
  });

  test("patterns match there, and keys are keys", () => {
    const rig = pipeline();
    const pki = new Pki(mkdtempSync(join(tmpdir(), "serviceroute-pki-")));
    const { cert, key } = pki.issue("a", "/CN=a", "subjectAltName=DNS:a.example.com");
    rig.apply(
      GATEWAY(8443, "{name: tls, port: PORT, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}") +
        secretYaml("cert", readFileSync(cert, "utf8"), readFileSync(key, "utf8")) +
        routeYaml("r", 'rules: [{matches: [{path: {type: RegularExpression, value: "/x/[0-9]+"}}]}]'),
    );
    const { table } = copyOf(rig.translator.table);
    const [entry] = [...table.routes.values()].flatMap(({ entries }) => entries);
    const path = entry?.match.path;
    expect(
      path?.kind === "regex" && [path.regex.matches("/x/12"), path.regex.matches("/x/a"), path.regex.prefix],
    ).toEqual([true, false, "/x/"]);
    const keys = [...table.listeners.values()].flatMap(({ certificates }) => certificates.map(({ key }) => key));
    const [own] = [...rig.translator.table.listeners.values()].flatMap(({ certificates }) => certificates);
    expect(keys.length).toBe(1);
    expect(keys[0]).toBeInstanceOf(PrivateKey);
    expect(own !== undefined && keys[0]?.equals(own.key)).toBe(true);
  });

  test("F40: many routes come in parts, and are there all at once", () => {
    const rig = pipeline();
    const count = 1000;
    rig.apply(
      serviceYaml("web") +
        Array.from({ length: count }, (_, i) =>
          routeYaml(`r${i}`, `hostnames: [h${i}.example.com]\nrules: [{backendRefs: [{name: web, port: 80}]}]`),
        ).join(""),
    );
    const parts = partsOfDiff(whole(rig.translator.table));
    expect(parts.length).toBeGreaterThanOrEqual(count / 50);
    expect(Math.max(...parts.map(({ length }) => length))).toBeLessThan(100_000);
    const copy = new RoutingTable();
    const sizes: number[] = [];
    const follower = new TableFollower(copy, () => sizes.push(copy.routes.size), atOnce);
    for (const bytes of parts.slice(0, -1)) follower.read(bytes, undefined);
    expect(copy.routes.size).toBe(0);
    follower.read(parts.at(-1) ?? new Uint8Array(), 1);
    expect(sizes).toEqual([count]);
  });

  test("one change at a time is on its way, and what comes meanwhile goes together", () => {
    const sent: (number | undefined)[] = [];
    const feed = new TableFeed((_, version) => sent.push(version));
    const diff = (): TableDiff => emptyDiff();
    feed.offer(diff(), 1);
    feed.offer(diff(), 2);
    feed.offer(diff(), 3);
    expect([sent, feed.served]).toEqual([[1], 0]);
    feed.acknowledged(1);
    expect([sent, feed.served]).toEqual([[1, 3], 1]);
    feed.acknowledged(3);
    expect([sent, feed.served]).toEqual([[1, 3], 3]);
  });
});

describe("what workers say of a listener", () => {
  const id = "default/gw/http" as ListenerId;
  const serving: ListenerState = { kind: "serving" };
  const failed: ListenerState = { kind: "failed", reason: "PortUnavailable", message: "is in use" };
  const agreement = (): { agreement: ListenerAgreement; said: (string | undefined)[] } => {
    const said: (string | undefined)[] = [];
    return { agreement: new ListenerAgreement(2, (_, state) => said.push(state?.kind)), said };
  };
  const listeners = new Map([[id, {} as never]]);

  test("it serves when all do, and has failed when it has with one", () => {
    const { agreement: of, said } = agreement();
    of.published(listeners, 1);
    of.said(1, 1, id, serving);
    of.said(2, 1, id, failed);
    of.said(2, 1, id, serving);
    expect(said).toEqual(["failed", "serving"]);
  });

  test("what each of them says is told once, and again when it has changed in between", () => {
    const { agreement: of, said } = agreement();
    of.published(listeners, 1);
    for (const worker of [1, 2]) of.said(worker, 1, id, failed);
    for (const worker of [1, 2]) of.said(worker, 1, id, serving);
    for (const worker of [1, 2]) of.said(worker, 1, id, failed);
    expect(said).toEqual(["failed", "serving", "failed"]);
  });

  test("what is said of the listener before it counts for nothing", () => {
    const { agreement: of, said } = agreement();
    of.published(listeners, 1);
    of.said(1, 1, id, serving);
    of.published(listeners, 2);
    of.said(2, 1, id, serving);
    of.said(1, 2, id, serving);
    expect(said).toEqual([]);
    of.said(2, 2, id, serving);
    expect(said.at(-1)).toBe("serving");
  });

  test("one that is gone is said to be gone, and nothing serves when no worker is left", () => {
    const { agreement: of, said } = agreement();
    of.published(listeners, 1);
    of.said(1, 1, id, serving);
    of.said(2, 1, id, serving);
    of.allEnded();
    expect(said.at(-1)).toBeUndefined();
    const told = said.length;
    of.published(new Map([[id, undefined]]), 2);
    of.said(1, 2, id, serving);
    expect(said.slice(told)).toEqual([undefined]);
  });
});

describe("metrics of several processes", () => {
  const web: ServedBy = { route: "default/r", rule: "all", backend: "default/web:80" };
  const served = (): boolean => true;
  const seriesOf = async (registry: Registry): Promise<RequestSeries> => registry.getMetricsAsJSON();

  test("are their sum; what one has counted stays when it is gone, what it had open goes, and a route's go with the route", async () => {
    const merged = new MergedRequests();
    const registries = [new Registry(), new Registry()];
    const [one, two] = registries.map((registry) => new RequestMetrics(registry));
    one?.routed(web, 200, 0.01, served);
    two?.routed(web, 200, 0.01, served);
    two?.answered(200, 0.01);
    two?.countClients({ connections: 5, sessions: 0 });
    for (const [process, registry] of registries.entries()) merged.said(process, await seriesOf(registry));
    const count =
      'serviceroute_route_request_duration_seconds_count{route="default/r",rule="all",backend="default/web:80",code="2xx"}';
    expect(await merged.text()).toContain(`${count} 2`);
    expect(await merged.text()).toContain("serviceroute_connections 5");
    merged.ended(1);
    merged.ended(0);
    await sleep(0);
    expect(await merged.text()).toContain(`${count} 2`);
    expect(await merged.text()).toContain('serviceroute_http_requests_total{code="2xx"} 1');
    expect(await merged.text()).not.toContain("serviceroute_connections 5");
    merged.keepOnly("default/r", () => false);
    expect(await merged.text()).not.toContain('route="default/r"');
    expect(await merged.text()).toContain('serviceroute_http_requests_total{code="2xx"} 1');
  });

  test("F43: a request that outlives its route does not bring back the series of it", async () => {
    const registry = new Registry();
    const metrics = new RequestMetrics(registry);
    metrics.routed(web, 200, 0.01, served);
    metrics.keepOnly(web.route, () => false);
    metrics.routed(web, 200, 0.01, () => false);
    const text = await registry.metrics();
    expect(text).not.toContain('route="default/r"');
    expect(text).toContain('_count{route="other",rule="other",backend="other",code="2xx"} 1');
  });
});

describe("connections of clients, divided among workers", () => {
  /** Workers that follow what they are told, some time later. */
  class Rig {
    readonly told: { worker: number; most: number; turn: number }[] = [];
    readonly workers = new Map<number, { open: number; most: number; turn: number }>();
    readonly shares: ConnectionShares;
    constructor(most: number, count: number) {
      this.shares = new ConnectionShares(most, count, (worker, allowed, turn) =>
        this.told.push({ worker, most: allowed, turn }),
      );
    }
    start(worker: number): void {
      this.workers.set(worker, { open: 0, most: 0, turn: 0 });
      this.shares.started(worker);
    }
    end(worker: number): void {
      this.workers.delete(worker);
      this.shares.ended(worker);
    }
    /** One message comes to its worker, which says what it follows now. */
    deliver(): void {
      const message = this.told.shift();
      const worker = message && this.workers.get(message.worker);
      if (message === undefined || worker === undefined) return;
      worker.most = Math.max(message.most, worker.open);
      worker.turn = message.turn;
      this.beat(message.worker);
    }
    beat(number: number): void {
      const worker = this.workers.get(number);
      if (worker !== undefined) this.shares.beat(number, worker.open, worker.most, worker.turn);
    }
    open(number: number): boolean {
      const worker = this.workers.get(number);
      if (worker === undefined || worker.open >= worker.most) return false;
      worker.open++;
      return true;
    }
    calm(): void {
      for (let i = 0; i < 100; i++) {
        for (const number of this.workers.keys()) this.beat(number);
        while (this.told.length > 0) this.deliver();
      }
    }
  }

  test("each begins with its share, and one that is short gets what the other does not use", () => {
    const rig = new Rig(100, 2);
    rig.start(1);
    rig.start(2);
    rig.calm();
    expect([...rig.workers.values()].map(({ most }) => most)).toEqual([50, 50]);
    let opened = 0;
    for (let i = 0; i < 100; i++) {
      if (rig.open(1)) opened++;
      rig.calm();
    }
    expect(opened).toBeGreaterThanOrEqual(90);
  });

  test("never more than all together may have, whatever happens in whichever order", () => {
    const event = fc.oneof(
      fc.record({ kind: fc.constant("open" as const), worker: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ kind: fc.constant("close" as const), worker: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ kind: fc.constant("beat" as const), worker: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ kind: fc.constant("deliver" as const), worker: fc.constant(0) }),
      fc.record({ kind: fc.constant("restart" as const), worker: fc.integer({ min: 1, max: 3 }) }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.array(event, { maxLength: 300 }), (most, events) => {
        const rig = new Rig(most, 3);
        for (const worker of [1, 2, 3]) rig.start(worker);
        for (const { kind, worker } of events) {
          if (kind === "open") rig.open(worker);
          if (kind === "close") {
            const one = rig.workers.get(worker);
            if (one !== undefined && one.open > 0) one.open--;
          }
          if (kind === "beat") rig.beat(worker);
          if (kind === "deliver") rig.deliver();
          if (kind === "restart") {
            rig.told.splice(0, rig.told.length, ...rig.told.filter((message) => message.worker !== worker));
            rig.end(worker);
            rig.start(worker);
          }
          expect([...rig.workers.values()].reduce((sum, one) => sum + one.most, 0)).toBeLessThanOrEqual(most);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("ports that workers bind side by side", () => {
  test("are tried out once, and again when nobody has them any more", async () => {
    const probed: string[] = [];
    const claims = new PortClaims(async (socket) => {
      probed.push(socket);
      return Promise.resolve(undefined);
    });
    expect(await Promise.all([claims.claim(1, "a:80"), claims.claim(2, "a:80")])).toEqual([undefined, undefined]);
    claims.ended(1);
    await claims.claim(1, "a:80");
    expect(probed).toEqual(["a:80"]);
    claims.ended(1);
    claims.ended(2);
    await claims.claim(1, "a:80");
    claims.release(1, "a:80");
    await claims.claim(1, "a:80");
    expect(probed).toEqual(["a:80", "a:80", "a:80"]);
  });

  test("are refused to all where somebody else has them, and asked for anew each time", async () => {
    const answers = ["EADDRINUSE", undefined];
    const claims = new PortClaims(async () => Promise.resolve(answers.shift()));
    expect(await Promise.all([claims.claim(1, "a:80"), claims.claim(2, "a:80")])).toEqual(["EADDRINUSE", "EADDRINUSE"]);
    expect(await claims.claim(1, "a:80")).toBeUndefined();
  });
});

test.for([
  [2, "75", "25"],
  [1, "75", "37"],
  [64, "50", "1"],
] as const)("%s workers and their maker share a heap of %s percent: %s each", ([workers, given, each]) => {
  const name = "--max-old-space-size-percentage";
  expect(argumentsFor(workers, [`${name}=${given}`, "--expose-gc"])).toEqual([`${name}=${each}`, "--expose-gc"]);
});

test.for(["127.0.0.1", "::1", "::ffff:127.0.0.1"])(
  "F52: a port of %s that somebody has cannot be bound",
  async (host) => {
    const taken = createServer().listen(0, host);
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    const socket = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
    expect(await probePort(socket)).toBe("EADDRINUSE");
    taken.close();
    await once(taken, "close");
    expect(await probePort(socket)).toBeUndefined();
  },
);
