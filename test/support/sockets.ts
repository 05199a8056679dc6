import { readFileSync, readdirSync, readlinkSync } from "node:fs";

/** Addresses and ports that a process listens on, from the kernel. */
export function listening(pid: number): string[] {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap(
      (fd) => /socket:\[([0-9]+)\]/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [],
    ),
  );
  const rows = ["tcp", "tcp6"].flatMap((family) =>
    readFileSync(`/proc/net/${family}`, "utf8").trim().split("\n").slice(1),
  );
  return rows
    .map((row) => row.trim().split(/\s+/))
    .filter((columns) => columns[3] === "0A" && inodes.has(columns[9] ?? ""))
    .map((columns) => {
      const [address = "", port = ""] = (columns[1] ?? "").split(":");
      const bytes = (address.match(/../g) ?? []).map((hex) => Number.parseInt(hex, 16)).reverse();
      return `${bytes.length === 4 ? bytes.join(".") : address}:${Number.parseInt(port, 16)}`;
    })
    .sort();
}
