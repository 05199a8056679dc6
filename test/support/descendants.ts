import { readFileSync, readdirSync } from "node:fs";

function parentOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" ? 0 : Number(parent);
  } catch {
    return 0;
  }
}

/** Process ids of those that `pid` has started and that run, the oldest first. */
export function childrenOf(pid: number): number[] {
  const all = readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name));
  return all
    .map(Number)
    .filter((one) => parentOf(one) === pid)
    .sort((a, b) => a - b);
}
