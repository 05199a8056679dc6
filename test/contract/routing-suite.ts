import { afterAll, beforeAll, describe, expect } from "vitest";
import { test } from "../support/contract.ts";
import { Backend } from "../support/backend.ts";
import type { Ask, DataPlaneRig } from "../support/data-plane.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

/** Which rule takes a request, on any data plane. */
export function describeRouting(name: string, start: () => Promise<DataPlaneRig>): void {
  describe(`${name}: routing`, () => {
    let rig: DataPlaneRig;
    const backends = ["one", "two", "three"].map((label) => new Backend(label));
    const services = (): string => backends.map(({ name: label, port }) => serviceYaml(label, [port])).join("");
    const to = (label: string, more = ""): string => `{${more}backendRefs: [{name: ${label}, port: 80}]}`;

    beforeAll(async () => {
      await Promise.all(backends.map(async (backend) => backend.start()));
      rig = await start();
    });
    afterAll(async () => {
      await rig.close();
      await Promise.all(backends.map(async (backend) => backend.stop()));
    });

    const RULES = `hostnames: [a.example.com]
rules:
- ${to("one")}
- ${to("two", "matches: [{path: {value: /two}}], ")}
- ${to("three", "matches: [{path: {type: Exact, value: /two/exact}}], ")}
- ${to("three", "matches: [{path: {type: RegularExpression, value: '/r/[0-9]+'}}], ")}
- ${to("three", "matches: [{method: DELETE}], ")}
- ${to("two", "matches: [{headers: [{name: X-Kind, value: b}]}], ")}
- ${to("three", "matches: [{headers: [{name: x-kind, type: RegularExpression, value: 'c+'}]}], ")}
- ${to("two", "matches: [{queryParams: [{name: v, value: '2'}]}], ")}
- ${to("three", "matches: [{cookies: [{name: tier, value: gold}]}], ")}
- ${to("two", "matches: [{grpc: {service: shop.Cart, method: Add}}], ")}`;

    test.for<[string, string, Ask, string]>([
      ["everything else", "/", {}, "one"],
      ["a prefix", "/two/x", {}, "two"],
      ["B25: a prefix ends at a segment", "/twox", {}, "one"],
      ["an exact path before a prefix", "/two/exact", {}, "three"],
      ["a pattern", "/r/12", {}, "three"],
      ["a pattern is a full match", "/r/12/x", {}, "one"],
      ["a method", "/", { method: "DELETE" }, "three"],
      ["a header, its name in any case", "/", { headers: { "x-KIND": "b" } }, "two"],
      ["B55: a repeated header is compared as joined", "/", { headers: { "x-kind": ["b", "c"] } }, "one"],
      ["a header by pattern", "/", { headers: { "x-kind": "ccc" } }, "three"],
      ["a query parameter", "/?v=2", {}, "two"],
      ["the first value of a parameter counts", "/?v=1&v=2", {}, "one"],
      ["a cookie", "/", { headers: { cookie: "a=b; tier=gold" } }, "three"],
      ["a gRPC method", "/shop.Cart/Add", { method: "POST" }, "two"],
      ["B49: a path is normalised before it is matched", "/x/../two/%65xact", {}, "three"],
      ["B7: a host in capitals, with a dot and a port", "/", { host: "A.Example.com.:8080" }, "one"],
    ])("%s", async ([, path, options, want]) => {
      await rig.publish(services() + routeYaml("r", RULES));
      expect((await rig.ask(path, options)).body).toBe(want);
    });

    test.for([
      ["exact.example.com", "one"],
      ["any.wild.example.com", "two"],
      ["deep.any.wild.example.com", "two"],
      ["other.example.com", "three"],
    ] as const)("the most specific hostname takes %s", async ([host, want]) => {
      const route = (label: string, hostname: string): string =>
        routeYaml(label, `hostnames: ["${hostname}"]\nrules: [${to(label)}]`);
      await rig.publish(
        services() +
          route("one", "exact.example.com") +
          route("two", "*.wild.example.com") +
          route("three", "*.example.com"),
      );
      expect((await rig.ask("/", { host })).body).toBe(want);
    });

    test("no fall-through from a precise hostname to a wildcard", async () => {
      await rig.publish(
        services() +
          routeYaml("one", `hostnames: [a.example.com]\nrules: [${to("one", "matches: [{path: {value: /only}}], ")}]`) +
          routeYaml("two", `hostnames: ["*.example.com"]\nrules: [${to("two")}]`),
      );
      expect((await rig.ask("/elsewhere")).status).toBe(404);
      expect((await rig.ask("/elsewhere", { host: "b.example.com" })).body).toBe("two");
    });

    test.for(["__proto__", "constructor", "toString", "unknown.example.com"])(
      "B8: nobody serves the host %s",
      async (host) => {
        await rig.publish(services() + routeYaml("r", RULES));
        const reply = await rig.ask("/", { host });
        expect([reply.status, reply.headers["x-serviceroute-reason"]]).toEqual([404, "NoRoute"]);
      },
    );

    test("P16, D47: weights come out in proportion", async () => {
      const weights = [1, 9, 90];
      await rig.publish(
        services() +
          routeYaml(
            "r",
            `rules: [{backendRefs: [${backends.map((b, i) => `{name: ${b.name}, port: 80, weight: ${weights[i] ?? 0}}`).join(",")}, {name: one, port: 80, weight: 0}]}]`,
          ),
      );
      const before = backends.map((b) => b.seen.length);
      const total = process.env["SERVICEROUTE_TEST_SIZE"] === "full" ? 10_000 : 2000;
      for (let i = 0; i < total / 50; i++) await Promise.all(Array.from({ length: 50 }, async () => rig.ask("/")));
      const chiSquare = backends.reduce((sum, b, i) => {
        const expected = (total * (weights[i] ?? 0)) / 100;
        return sum + (b.seen.length - (before[i] ?? 0) - expected) ** 2 / expected;
      }, 0);
      console.log(`# P16: ${total} requests, chi-square ${chiSquare.toFixed(2)} at two degrees of freedom`);
      // p = 0.0001 at two degrees of freedom.
      expect(chiSquare).toBeLessThan(18.4);
    });
  });
}
