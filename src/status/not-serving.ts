import type { ListenerId } from "../routing/listener.ts";
import { EVERY_LISTENER, type ReplicaReport } from "../routing/programmed.ts";

type NotServing = ReplicaReport["notServing"];

/** Annotations of one object may have 256 KiB together. */
const MOST_LISTENERS = 500;
const LONGEST_REASON = 200;

/** As JSON for a Lease's annotation; too many listeners become one entry that stands for all. */
export function writeNotServing(notServing: NotServing): string {
  const reasons = [...notServing].map(([id, why]) => [id, why.slice(0, LONGEST_REASON)] as const);
  if (reasons.length <= MOST_LISTENERS) return JSON.stringify(Object.fromEntries(reasons));
  return JSON.stringify({ [EVERY_LISTENER]: reasons.find(([, why]) => why !== "")?.[1] ?? "" });
}

/** What nobody understands is taken for not serving: a status must not say more than is known. */
export function readNotServing(annotation: string | undefined): NotServing {
  try {
    const read: unknown = JSON.parse(annotation ?? "");
    const entries = typeof read === "object" && read !== null ? Object.entries(read) : [[EVERY_LISTENER, ""]];
    return new Map(entries.map(([id, why]) => [id as ListenerId, typeof why === "string" ? why : ""]));
  } catch {
    return new Map([[EVERY_LISTENER, ""]]);
  }
}
