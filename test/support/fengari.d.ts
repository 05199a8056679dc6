/** What the tests use of a Lua in JavaScript that has no types of its own. */
declare module "fengari" {
  interface State {
    readonly brand: "lua_State";
  }
  export const lua: { lua_tojsstring: (state: State, index: number) => string };
  export const lauxlib: { luaL_newstate: () => State; luaL_dostring: (state: State, script: Uint8Array) => number };
  export const lualib: { luaL_openlibs: (state: State) => void };
  export function to_luastring(text: string): Uint8Array;
}
