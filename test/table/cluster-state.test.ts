import type { Load } from "../../src/routing/cluster-news.ts";
import { until } from "../support/data-plane.ts";
import { describe, expect, test, vi } from "vitest";
import { Breaker } from "../../src/proxy/upstream/circuit-breaker.ts";
import { OutlierDetector } from "../../src/proxy/upstream/outlier-detector.ts";

describe("ejection of an endpoint", () => {
  const POLICY = { consecutive5xx: 3, intervalMs: 1000, ejectionTimeMs: 100, maxEjectionPercent: 100 };
  const ejectAt = (detector: OutlierDetector, now: number): void => {
    for (let i = 0; i < POLICY.consecutive5xx; i++) if (detector.failed(now)) detector.eject(now);
  };
  const lasts = (detector: OutlierDetector, now: number): number => {
    let until = now;
    while (detector.isEjected(until)) until++;
    return until - now;
  };

  test("follows failures in a row, and one success forgives them", () => {
    const detector = new OutlierDetector(POLICY);
    expect([detector.failed(1), detector.failed(1)]).toEqual([false, false]);
    detector.succeeded();
    expect([detector.failed(1), detector.failed(1), detector.failed(1)]).toEqual([false, false, true]);
  });

  test("lasts longer each time, at most ten times as long, and an interval of quiet takes one step back", () => {
    const detector = new OutlierDetector(POLICY);
    const lengths: number[] = [];
    let now = 10;
    for (let i = 0; i < 12; i++) {
      ejectAt(detector, now);
      lengths.push(lasts(detector, now));
      now += lasts(detector, now);
    }
    expect(lengths).toEqual([100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1000, 1000]);
    now += 3000;
    ejectAt(detector, now);
    expect(lasts(detector, now)).toBe(800);
    now += 800 + 60_000;
    ejectAt(detector, now);
    expect(lasts(detector, now)).toBe(100);
  });

  test("counts nothing while it lasts", () => {
    const detector = new OutlierDetector(POLICY);
    ejectAt(detector, 10);
    expect([detector.failed(11), detector.failed(11), detector.failed(11)]).toEqual([false, false, false]);
    expect([detector.failed(200), detector.failed(200)]).toEqual([false, false]);
  });
});

describe("a circuit breaker", () => {
  const LIMITS = { maxConnections: 2, maxPendingRequests: 2, maxRequests: 10 };

  test("lets as many go on as connections carry, the next wait in line, the rest is turned away", () => {
    const called: string[] = [];
    const breaker = new Breaker(LIMITS, 1);
    const places = ["a", "b", "c", "d", "e"].map((name) => breaker.enter(() => called.push(name)));
    expect(places.map((place) => place?.mayStart)).toEqual([true, true, false, false, undefined]);
    expect(breaker.active).toBe(4);
    places[0]?.leave();
    places[0]?.leave();
    expect(called).toEqual(["c"]);
    places[3]?.leave();
    places[1]?.leave();
    places[2]?.leave();
    expect([called, breaker.active]).toEqual([["c"], 0]);
  });

  test("goes on with its line when one of it throws", () => {
    const breaker = new Breaker({ ...LIMITS, maxConnections: 1, maxPendingRequests: 2 }, 1);
    const called: string[] = [];
    const first = breaker.enter(() => undefined);
    const second = breaker.enter(() => {
      throw new Error("a defect");
    });
    breaker.enter(() => called.push("third"));
    expect(() => first?.leave()).toThrow("a defect");
    second?.leave();
    expect(called).toEqual(["third"]);
  });

  test("whose line fails at once does not grow the stack", () => {
    const breaker = new Breaker({ maxConnections: 1, maxPendingRequests: 100_000, maxRequests: 200_000 }, 1);
    const first = breaker.enter(() => undefined);
    let called = 0;
    for (let i = 0; i < 50_000; i++) {
      const place = breaker.enter(() => {
        called++;
        place?.leave();
      });
    }
    first?.leave();
    expect([called, breaker.active]).toEqual([50_000, 0]);
  });

  test("limits requests over all connections", () => {
    const breaker = new Breaker({ ...LIMITS, maxRequests: 3 }, 100);
    const places = Array.from({ length: 4 }, () => breaker.enter(() => undefined));
    expect(places.map((place) => place?.mayStart)).toEqual([true, true, true, undefined]);
  });

  test("counts what other processes have given the backend, as long as they are there", async () => {
    const told: Load[] = [];
    const breaker = new Breaker({ ...LIMITS, maxRequests: 3 }, 1, (load) => told.push(load));
    const called: string[] = [];
    breaker.heard(2, { running: 1, waiting: 0 });
    const first = breaker.enter(() => undefined);
    const second = breaker.enter(() => called.push("second"));
    expect([first?.mayStart, second?.mayStart, breaker.enter(() => undefined)]).toEqual([true, false, undefined]);
    breaker.heard(3, { running: 0, waiting: 1 });
    breaker.heard(2, { running: 0, waiting: 0 });
    expect(called).toEqual(["second"]);
    expect(breaker.enter(() => undefined)).toBeUndefined();
    breaker.heard(3, undefined);
    expect(breaker.enter(() => undefined)?.mayStart).toBe(false);
    await until("the rest is told together", () => told.length === 2);
    expect(told).toEqual([
      { running: 1, waiting: 0 },
      { running: 2, waiting: 1 },
    ]);
    breaker.repeat();
    expect(told).toHaveLength(3);
  });

  test("F40: forgets what another process does not say again, and says again what it has itself", () => {
    vi.useFakeTimers();
    try {
      const told: Load[] = [];
      const breaker = new Breaker({ ...LIMITS, maxConnections: 1 }, 1, (load) => told.push(load));
      breaker.heard(2, { running: 1, waiting: 0 });
      const called: string[] = [];
      const place = breaker.enter(() => called.push("mine"));
      expect(place?.mayStart).toBe(false);
      vi.advanceTimersByTime(1900);
      expect(called).toEqual([]);
      breaker.heard(2, { running: 1, waiting: 0 });
      vi.advanceTimersByTime(1900);
      expect(called).toEqual([]);
      vi.advanceTimersByTime(400);
      expect(called).toEqual(["mine"]);
      told.length = 0;
      vi.advanceTimersByTime(1100);
      expect(told.length).toBeGreaterThanOrEqual(4);
      expect(new Set(told.map(({ running }) => running))).toEqual(new Set([1]));
      place?.leave();
      vi.advanceTimersByTime(100);
      expect(told.at(-1)).toEqual({ running: 0, waiting: 0 });
      const before = told.length;
      vi.advanceTimersByTime(5000);
      expect(told.length).toBe(before);
    } finally {
      vi.useRealTimers();
    }
  });

  test("of 0 turns everybody away", () => {
    expect(new Breaker({ ...LIMITS, maxRequests: 0 }, 1).enter(() => undefined)).toBeUndefined();
    expect(
      new Breaker({ ...LIMITS, maxConnections: 0, maxPendingRequests: 0 }, 1).enter(() => undefined),
    ).toBeUndefined();
  });

  test("that nobody asked for limits nothing", () => {
    const breaker = new Breaker(undefined, 1);
    for (let i = 0; i < 5000; i++) expect(breaker.enter(() => undefined)?.mayStart).toBe(true);
  });
});
