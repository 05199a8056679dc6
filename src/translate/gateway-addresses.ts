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
  readonly unsupported: string | undefined;
}

function wantedBy(gateway: KubeObject<"Gateway">): Wanted {
  const [first] = gateway.spec.addresses ?? [];
  const isIp = (first?.type ?? "IPAddress") === "IPAddress";
  return {
    key: gateway.key,
    requested: isIp ? first?.value : undefined,
    unsupported: first === undefined || isIp ? undefined : first.type,
  };
}

function outside(pool: string, address: string): boolean {
  const [base = "", bits = ""] = pool.split("/");
  const list = new BlockList();
  list.addSubnet(base, Number(bits), "ipv4");
  return !isIPv4(address) || !list.check(address, "ipv4");
}

/**
 * An address for each Gateway. Requested ones come first, then those that Gateways already have, then free ones in
 * order of the Gateways given: so an address is kept for as long as its Gateway lives.
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
  const refuse = (key: Key<"Gateway">, reason: "AddressNotUsable" | "UnsupportedAddress", message: string): void =>
    void results.set(key, { ok: false, reason, message });
  const give = (key: Key<"Gateway">, address: string, own: boolean): void => {
    taken.add(address);
    results.set(key, { ok: true, address, own });
  };

  const undecided: Key<"Gateway">[] = [];
  for (const { key, requested, unsupported } of gateways.map(wantedBy)) {
    if (unsupported !== undefined)
      refuse(key, "UnsupportedAddress", `addresses of type ${unsupported} are not supported; use IPAddress`);
    else if (requested === undefined || requested === "") {
      if (options.ownAddresses === true) give(key, displayName(key), true);
      else undecided.push(key);
    } else if (options.gatewayServices === true)
      refuse(
        key,
        "AddressNotUsable",
        `${requested} cannot be asked for: the load balancer of the Gateway's Service decides`,
      );
    else if (pool !== undefined && outside(pool, requested))
      refuse(key, "AddressNotUsable", `${requested} is outside of the address pool`);
    else if (pool !== undefined && taken.has(requested))
      refuse(key, "AddressNotUsable", `${requested} belongs to another Gateway`);
    else give(key, requested, true);
  }
  for (const key of undecided) {
    const kept = last.get(key);
    if (pool === undefined) give(key, bindAddress, false);
    else if (kept !== undefined && !taken.has(kept) && !outside(pool, kept)) give(key, kept, true);
  }
  for (const key of undecided.filter((k) => !results.has(k))) {
    const free = poolAddresses(pool ?? "").find((address) => !taken.has(address));
    if (free === undefined) refuse(key, "AddressNotUsable", `no address of ${pool ?? ""} is free`);
    else give(key, free, true);
  }
  return results;
}
