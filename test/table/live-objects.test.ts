import { describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import { readListeners, writeListeners } from "../../src/status/listener-report.ts";
import { LiveObjects } from "../../src/status/live-objects.ts";

describe("what the API server has", () => {
  const key = keyOf("ServiceRoute", "default", "r");
  const object = (resourceVersion: string, uid = "u", status?: unknown) => ({
    metadata: { uid, resourceVersion, generation: 2 },
    ...(status === undefined ? {} : { status }),
  });
  const version = (...steps: ((objects: LiveObjects) => void)[]): string | undefined => {
    const objects = new LiveObjects();
    for (const step of steps) step(objects);
    return objects.get(key)?.resourceVersion;
  };
  const set =
    (...args: Parameters<typeof object>) =>
    (objects: LiveObjects): void =>
      objects.set(key, object(...args));
  const setNewer =
    (...args: Parameters<typeof object>) =>
    (objects: LiveObjects): void =>
      objects.setNewer(key, object(...args));

  test("is the newest version of the object that is there, by number", () => {
    expect(version(set("9"), set("10"))).toBe("10");
    expect(version(set("10"), set("9"))).toBe("10");
    expect(version(set("10"), set("9", "another"))).toBe("9");
    for (const opaque of ["opaque", "9x", "x9", ""]) {
      expect(version(set("10"), set(opaque))).toBe(opaque);
      expect(version(set(opaque), set("9"))).toBe("9");
    }
    expect(version(set("10"), set("10", "u", {}))).toBe("10");
  });

  test("what may have been overtaken is taken only where the object is still there, and older", () => {
    expect(version(setNewer("5"))).toBeUndefined();
    expect(version(set("5"), setNewer("6"))).toBe("6");
    expect(version(set("6"), setNewer("5"))).toBe("6");
    expect(version(set("6"), setNewer("opaque"))).toBe("6");
    expect(version(set("5"), (objects) => objects.delete(key), setNewer("6"))).toBeUndefined();
  });

  test("is handed out as a copy, with what is missing made plain", () => {
    const objects = new LiveObjects();
    objects.set(key, object("1", "u", { conditions: [] }));
    const first = objects.get(key);
    expect(first).toEqual({ uid: "u", resourceVersion: "1", generation: 2, status: { conditions: [] } });
    expect(objects.get(key)?.status).not.toBe(first?.status);
    objects.set(key, {});
    expect(objects.get(key)).toEqual({ uid: "", resourceVersion: "", generation: 0, status: undefined });
    expect([objects.has(key), objects.has(keyOf("Gateway", "default", "r"))]).toEqual([true, false]);
    objects.delete(key);
    expect([objects.has(key), objects.get(key)]).toEqual([false, undefined]);
  });
});

describe("the report on listeners in a Lease", () => {
  const many = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));

  test("has room for 10,000 that serve, and for reasons of 200 characters as far as 100,000 go", () => {
    const written = writeListeners({
      serving: new Set(many(10_001, (i) => `s${i}`)),
      failed: new Map([["short", "x".repeat(201)], ...many(1000, (i) => [`f${i}`, "y".repeat(200)] as const)]),
    });
    const { serving, failed } = readListeners(written);
    expect([serving.size, serving.has("s9999"), serving.has("s10000")]).toEqual([10_000, true, false]);
    expect(failed.get("short")).toBe("x".repeat(200));
    const used = [...failed].reduce((sum, [digest, why]) => sum + digest.length + why.length + 8, 0);
    expect(used).toBeLessThanOrEqual(100_000);
    expect(used).toBeGreaterThan(99_000);
  });

  test("of which a part cannot be understood says nothing of that part", () => {
    const { serving, failed } = readListeners('{"serving":"a b","failed":{"c":"why","d":7,"e":null}}');
    expect([...serving]).toEqual(["a", "b"]);
    expect([...failed]).toEqual([["c", "why"]]);
    for (const odd of [
      '{"serving":"a","failed":"why"}',
      '{"serving":"a","failed":5}',
      '{"serving":"a","failed":null}',
      '{"serving":["a"],"failed":{}}',
      '{"failed":{"c":"why"}}',
    ])
      expect(readListeners(odd)).toEqual({ serving: new Set(), failed: new Map() });
  });
});
