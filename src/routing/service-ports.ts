import type { Transport } from "./endpoints.ts";

/** Container ports of listeners behind Services: none below 1024, and none that we listen on ourselves. */
const FIRST = 20_000;
const COUNT = 10_000;
/** More than a Gateway has listeners, so that others in the way leave it enough. */
const OWN = 128;

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let sum = 0x81_1c_9d_c5;
  for (let i = 0; i < text.length; i++) sum = Math.imul(sum ^ text.charCodeAt(i), 0x01_00_01_93) >>> 0;
  return sum;
}

/**
 * The container ports that a Gateway may have, best first: a walk through the range that starts where its uid says. The
 * API server makes uids, so nobody can choose whose ports theirs may be, and every replica knows them without memory.
 */
export function ownPorts(uid: string): readonly number[] {
  const start = hash(uid);
  // Odd and no multiple of 5: the walk comes to every port before it comes to one again.
  const step = (hash(`${uid}/step`) % 1000) * 10 + 3;
  return Array.from({ length: OWN }, (_, i) => FIRST + ((start + i * step) % COUNT));
}

interface ServicePort {
  readonly port: number;
  readonly protocol?: string | undefined;
  readonly targetPort?: number | string | undefined;
}

/**
 * Port of a Gateway → container port, as its Service says. What is none of the Gateway's own is nobody's to bind: the
 * Service has been edited, and is about to be mended.
 */
export function containerPorts(
  uid: string,
  ports: readonly ServicePort[] = [],
  transport: Transport = "TCP",
): ReadonlyMap<number, number> {
  const own = new Set(ownPorts(uid));
  const pairs = ports.flatMap(({ port, protocol = "TCP", targetPort }): [number, number][] =>
    protocol === transport && typeof targetPort === "number" && own.has(targetPort) ? [[port, targetPort]] : [],
  );
  return new Map(pairs);
}

/** How far down a Gateway's own ports this one comes: of two that claim a port it is for whom it comes first. */
export function rankOf(uid: string, port: number): number {
  const at = ownPorts(uid).indexOf(port);
  return at < 0 ? OWN : at;
}
