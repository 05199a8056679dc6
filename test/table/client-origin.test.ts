import { BlockList } from "node:net";
import { describe, expect, test } from "vitest";
import { NOBODY, type TrustedProxies, originOf } from "../../src/proxy/downstream/client-origin.ts";

const PEER = "198.51.100.9";
const ranges = new BlockList();
ranges.addSubnet("198.51.100.0", 24, "ipv4");
ranges.addSubnet("2001:db8:1::", 48, "ipv6");
const RANGES: TrustedProxies = { kind: "ranges", ranges };
const hops = (count: number): TrustedProxies => ({ kind: "hops", hops: count });

function origin(trusted: TrustedProxies, headers: Readonly<Record<string, string>>, peer = PEER) {
  const header = (name: string): string | undefined => headers[name];
  return originOf({ peer, scheme: "http", authority: "a.example.com", header }, trusted);
}
const FOR = (value: string) => ({ "x-forwarded-for": value });

describe("who a request comes from", () => {
  test.for([
    ["nobody is believed", NOBODY, PEER, "203.0.113.1", PEER],
    ["one hop", hops(1), PEER, "203.0.113.1, 203.0.113.2", "203.0.113.2"],
    ["two hops", hops(2), PEER, "203.0.113.1, 203.0.113.2", "203.0.113.1"],
    ["more hops than there are", hops(3), PEER, "203.0.113.1, 203.0.113.2", PEER],
    ["a hop that says nothing", hops(1), PEER, "", PEER],
    ["a peer that is not trusted", RANGES, "203.0.113.7", "203.0.113.1", "203.0.113.7"],
    ["the last address that no trusted proxy has", RANGES, PEER, "192.0.2.1, 203.0.113.1, 198.51.100.7", "203.0.113.1"],
    ["trusted ones all the way", RANGES, PEER, "198.51.100.1, 198.51.100.2", "198.51.100.1"],
    ["a trusted one that says nothing", RANGES, PEER, "", PEER],
    ["a trusted one on IPv6", RANGES, "2001:db8:1::5", "2001:db8:2::1", "2001:db8:2::1"],
    ["IPv4 in IPv6 form", RANGES, `::ffff:${PEER}`, "::ffff:203.0.113.1", "203.0.113.1"],
    ["what is no address", hops(1), PEER, "203.0.113.1, unknown", PEER],
    ["empty entries", hops(1), PEER, " , 203.0.113.1,,", "203.0.113.1"],
  ] as const)("B54: %s", ([, trusted, peer, said, client]) => {
    expect(origin(trusted, FOR(said), peer).clientAddress).toBe(client);
  });

  test("B54: the backend is told the chain as far as it is believed, and its last hop always", () => {
    expect(origin(NOBODY, FOR("203.0.113.1")).forwardedFor).toBe(PEER);
    expect(origin(hops(1), FOR("192.0.2.1,203.0.113.1")).forwardedFor).toBe(`192.0.2.1, 203.0.113.1, ${PEER}`);
    expect(origin(hops(1), {}).forwardedFor).toBe(PEER);
  });

  test("B54: scheme and host too", () => {
    const said = { "x-forwarded-proto": "https", "x-forwarded-host": "b.example.com" };
    const told = (trusted: TrustedProxies, headers: Record<string, string>): string[] => {
      const { scheme, forwardedHost } = origin(trusted, headers);
      return [scheme, forwardedHost];
    };
    expect(told(NOBODY, said)).toEqual(["http", "a.example.com"]);
    expect(told(hops(1), said)).toEqual(["https", "b.example.com"]);
    expect(told(hops(1), { "x-forwarded-proto": "gopher" })).toEqual(["http", "a.example.com"]);
  });
});
