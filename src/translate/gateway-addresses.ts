import { BlockList, isIPv4 } from "node:net";
import type { KubeObject } from "../api/objects.ts";
import { type Key, displayName } from "../api/keys.ts";
import type { TranslateOptions } from "./options.ts";

export type AddressResult =
  | { readonly ok: true; readonly address: string; readonly own: boolean }
  | { readonly ok: false; readonly reason: "AddressNotUsable" | "UnsupportedAddress"; readonly message: string };

const toNumber = (address: string): number => address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
const toAddress = (number: number): string => [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join(".");

/** The usable IPv4 addresses of a CIDR, network and broadcast address left out where there are any. */
function* poolAddresses(cidr: string): Generator<string> {
  const [base = "", bits = "32"] = cidr.split("/");
  const size = 2 ** (32 - Number(bits));
  const first = Math.floor(toNumber(base) / size) * size;
  const [skip, last] = size > 2 ? [1, size - 1] : [0, size];
  for (let i = skip; i < last; i++) yield toAddress(first + i);
}

/** @returns Why `cidr` is no pool, undefined when it is one. */
export function poolProblem(cidr: string): string | undefined {
  const [base = "", bits = "", ...rest] = cidr.split("/");
  const length = Number(bits);
  const valid = rest.length === 0 && isIPv4(base) && /^[0-9]{1,2}$/.test(bits) && length >= 8 && length <= 32;
  return valid ? undefined : `"${cidr}" is not an IPv4 range such as 192.0.2.0/24`;
}

interface Wanted {
  readonly key: Key<"Gateway">;
  readonly requested: string | undefined;
  readonly refusal: Extract<AddressResult, { ok: false }> | undefined;
}

const refusal = (reason: "AddressNotUsable" | "UnsupportedAddress", message: string): Wanted["refusal"] => ({
  ok: false,
  reason,
  message,
});

function wantedBy(gateway: KubeObject<"Gateway">): Wanted {
  const { key } = gateway;
  const [first, ...more] = gateway.spec.addresses ?? [];
  const type = first?.type ?? "IPAddress";
  if (type !== "IPAddress") {
    const message = `addresses of type ${type} are not supported; use IPAddress`;
    return { key, requested: undefined, refusal: refusal("UnsupportedAddress", message) };
  }
  if (more.length > 0) {
    const message = `spec.addresses names ${more.length + 1} addresses; a Gateway has one here`;
    return { key, requested: undefined, refusal: refusal("AddressNotUsable", message) };
  }
  return { key, requested: first?.value === "" ? undefined : first?.value, refusal: undefined };
}

function outside(pool: string, address: string): boolean {
  const [base = "", bits = ""] = pool.split("/");
  const list = new BlockList();
  list.addSubnet(base, Number(bits), "ipv4");
  return !isIPv4(address) || !list.check(address, "ipv4");
}

/**
 * An address for each Gateway: the one that it has, for as long as it lives and asks for no other; the one that it asks
 * for, if nobody has it; else the first that is free, in order of the Gateways given.
 *
 * @param last  What the call before gave, or what status says after a restart.
 */
export function assignAddresses(
  gateways: readonly KubeObject<"Gateway">[],
  last: ReadonlyMap<Key<"Gateway">, string>,
  options: Pick<TranslateOptions, "addressPool" | "bindAddress" | "ownAddresses" | "gatewayServices">,
): ReadonlyMap<Key<"Gateway">, AddressResult> {
  const { addressPool: pool, bindAddress } = options;
  const results = new Map<Key<"Gateway">, AddressResult>();
  const taken = new Set<string>();
  const refuse = (key: Key<"Gateway">, message: string): void =>
    void results.set(key, { ok: false, reason: "AddressNotUsable", message });
  const give = (key: Key<"Gateway">, address: string, own: boolean): void => {
    taken.add(address);
    results.set(key, { ok: true, address, own });
  };

  const all = gateways.map(wantedBy);
  const holders = new Map(
    all.flatMap(({ key, requested }) => {
      const held = last.get(key);
      return held === undefined || (requested ?? held) !== held ? [] : [[held, key] as const];
    }),
  );
  const isTaken = (address: string, key: Key<"Gateway">): boolean =>
    taken.has(address) || (holders.get(address) ?? key) !== key;
  const undecided: Key<"Gateway">[] = [];
  for (const { key, requested, refusal: refused } of all) {
    if (refused !== undefined) results.set(key, refused);
    else if (requested === undefined) {
      if (options.ownAddresses === true) give(key, displayName(key), true);
      else undecided.push(key);
    } else if (options.gatewayServices === true)
      refuse(key, `${requested} cannot be asked for: the load balancer of the Gateway's Service decides`);
    else if (pool !== undefined && outside(pool, requested)) refuse(key, `${requested} is outside of the address pool`);
    else if (pool !== undefined && isTaken(requested, key)) refuse(key, `${requested} belongs to another Gateway`);
    else give(key, requested, true);
  }
  for (const key of undecided) {
    const kept = last.get(key);
    if (pool === undefined) give(key, bindAddress, false);
    else if (kept !== undefined && !taken.has(kept) && !outside(pool, kept)) give(key, kept, true);
  }
  for (const key of undecided.filter((k) => !results.has(k))) {
    const free = poolAddresses(pool ?? "").find((address) => !taken.has(address));
    if (free === undefined) refuse(key, `no address of ${pool ?? ""} is free`);
    else give(key, free, true);
  }
  return results;
}
