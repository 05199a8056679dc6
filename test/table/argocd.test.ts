import { readFileSync } from "node:fs";
import { join } from "node:path";
import { lauxlib, lua, lualib, to_luastring as text } from "fengari";
import { describe, expect, test } from "vitest";

const SCRIPT = readFileSync(join(import.meta.dirname, "../../manifests/argocd/health.lua"), "utf8");

/** A value as a Lua literal. */
function literal(value: unknown): string {
  if (Array.isArray(value)) return `{${value.map(literal).join(",")}}`;
  if (typeof value === "object" && value !== null) {
    return `{${Object.entries(value)
      .map(([key, inner]) => `[${JSON.stringify(key)}]=${literal(inner)}`)
      .join(",")}}`;
  }
  return JSON.stringify(value);
}

/** Runs the health check as Argo CD does: with `obj` set, and a table with status and message for an answer. */
function health(obj: object): string {
  const state = lauxlib.luaL_newstate();
  lualib.luaL_openlibs(state);
  const script = `obj = ${literal(obj)}\nlocal check = (function() ${SCRIPT} end)()\nreturn check.status .. ": " .. check.message`;
  if (lauxlib.luaL_dostring(state, text(script)) !== 0) throw new Error(lua.lua_tojsstring(state, -1));
  return lua.lua_tojsstring(state, -1);
}

const conditions = (...list: readonly (readonly [type: string, status: string])[]) =>
  list.map(([type, status]) => ({ type, status, message: `${type} says` }));
const route = (generation: number, observedGeneration: number, list: object[]): object => ({
  metadata: { generation },
  status: { observedGeneration, conditions: list },
});

describe("Argo CD's health check", () => {
  test.for<[string, object, string]>([
    ["nothing said yet", { metadata: { generation: 1 } }, "Progressing"],
    ["an older generation", route(2, 1, conditions(["Ready", "True"])), "Progressing"],
    ["ready", route(1, 1, conditions(["ResolvedRefs", "True"], ["Ready", "True"])), "Healthy"],
    ["waiting", route(1, 1, conditions(["ResolvedRefs", "True"], ["Ready", "Unknown"])), "Progressing"],
    [
      "a missing backend",
      route(1, 1, conditions(["ResolvedRefs", "False"], ["Ready", "True"])),
      "Degraded: ResolvedRefs says",
    ],
    [
      "a draft",
      { ...route(1, 1, conditions(["Ready", "False"])), spec: { useDefaultGateways: "None" } },
      "Suspended: Ready says",
    ],
    [
      "a draft that names a parent, and so is none",
      {
        ...route(1, 1, conditions(["Ready", "False"])),
        spec: { useDefaultGateways: "None", parentRefs: [{ name: "gw" }] },
      },
      "Degraded: Ready says",
    ],
    ["refused", route(1, 1, conditions(["Ready", "False"], ["Stalled", "True"])), "Degraded: Stalled says"],
  ])("%s", ([, obj, want]) => {
    expect(health(obj)).toMatch(new RegExp(`^${want}`));
  });
});
