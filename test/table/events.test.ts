import { describe, expect, test } from "vitest";
import type { Condition, ConditionStatus } from "../../src/api/condition.ts";
import { happenings } from "../../src/status/events.ts";

const condition = (type: string, status: ConditionStatus, message = "why"): Condition => ({
  type,
  status,
  reason: "Reason",
  message,
  lastTransitionTime: "2026-01-01T00:00:00Z",
});

describe("events", () => {
  const seen = (before: ConditionStatus | undefined, after: ConditionStatus, type = "Accepted") =>
    happenings(before === undefined ? [] : [condition(type, before)], [condition(type, after)]);
  const warning = [{ type: "Warning", reason: "Reason", note: "why" }];
  const normal = [{ type: "Normal", reason: "Reason", note: "why" }];

  test.for<[ConditionStatus | undefined, ConditionStatus, unknown[], unknown[]]>([
    [undefined, "True", [], normal],
    [undefined, "False", warning, warning],
    [undefined, "Unknown", [], []],
    ["True", "True", [], []],
    ["True", "False", warning, warning],
    ["False", "False", [], []],
    ["False", "True", normal, normal],
    ["Unknown", "True", [], normal],
    ["Unknown", "False", warning, warning],
    ["True", "Unknown", [], []],
  ])("from %s to %s", ([before, after, accepted, programmed]) => {
    expect(seen(before, after)).toEqual(accepted);
    expect(seen(before, after, "ResolvedRefs")).toEqual(accepted);
    expect(seen(before, after, "Programmed")).toEqual(programmed);
    expect(seen(before, after, "Ready")).toEqual([]);
  });

  test("compare each condition with what itself was", () => {
    const before = [condition("Accepted", "False"), condition("Programmed", "True")];
    expect(happenings(before, [condition("Programmed", "True"), condition("Accepted", "False")])).toEqual([]);
    expect(happenings(before, [condition("Programmed", "False")])).toEqual(warning);
  });

  test("have notes of at most 1,000 characters", () => {
    for (const status of ["True", "False"] as const) {
      const long = condition("Programmed", status, "x".repeat(1001));
      expect(happenings([], [long])[0]?.note).toBe("x".repeat(1000));
    }
  });
});
