import { BlockList, isIP } from "node:net";

const always = new BlockList();
always.addSubnet("0.0.0.0", 8, "ipv4");
always.addSubnet("169.254.0.0", 16, "ipv4");
always.addSubnet("224.0.0.0", 4, "ipv4");
always.addAddress("255.255.255.255", "ipv4");
always.addAddress("::", "ipv6");
always.addSubnet("fe80::", 10, "ipv6");
always.addSubnet("ff00::", 8, "ipv6");

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/**
 * Whether no backend may have this address: loopback, link-local, multicast, unspecified, IPv4-mapped forms of them,
 * and anything that is not an IP address at all (B31).
 */
export function isForbiddenAddress(address: string, { allowLoopback }: { readonly allowLoopback: boolean }): boolean {
  const mapped = /^::ffff:([0-9.]+)$/i.exec(address)?.[1];
  const plain = mapped ?? address;
  const version = isIP(plain);
  if (version === 0 || address.includes("%")) return true;
  const family = version === 4 ? "ipv4" : "ipv6";
  return always.check(plain, family) || (!allowLoopback && loopback.check(plain, family));
}
