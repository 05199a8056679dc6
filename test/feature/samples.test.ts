import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { parseAllDocuments } from "yaml";
import { Backend, headersOf } from "../support/backend.ts";
import { type Ask, type DataPlaneRig, startEmbedded } from "../support/data-plane.ts";
import { slicesFor } from "../../hack/demo/slices.ts";

const SAMPLES = join(import.meta.dirname, "../../manifests/samples");

interface Document {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: { readonly hostnames?: readonly string[] };
}

const texts = readdirSync(SAMPLES, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".yaml"))
  .map((name) => readFileSync(join(SAMPLES, name), "utf8"));
const documents = texts.flatMap((text) => parseAllDocuments(text).map((document) => document.toJS() as Document));
const of = (kind: string): Document[] => documents.filter((document) => document.kind === kind);

describe("the samples", () => {
  let rig: DataPlaneRig;
  const backends = new Map<string, Backend>();

  beforeAll(async () => {
    for (const { metadata } of of("Service")) backends.set(metadata.name, await new Backend(metadata.name).start());
    rig = await startEmbedded();
    const slices = slicesFor([...backends].map(([service, { port }]) => ({ service, name: `${service}-1`, port })));
    await rig.publish([...texts, slices].join("\n---\n"));
  });
  afterAll(async () => {
    await rig.close();
    for (const backend of backends.values()) await backend.stop();
  });

  test("there are some for each feature", () => expect(of("ServiceRoute").length).toBeGreaterThan(10));

  test.for(of("ServiceRoute").map(({ metadata }) => metadata.name))("%s is accepted and live", (name) => {
    const status = rig.engine.controller.routeStatus(`ServiceRoute/default/${name}` as never);
    expect(status?.conditions.map(({ type, status: value }) => `${type}=${value}`)).toEqual([
      "Accepted=True",
      "ResolvedRefs=True",
      "Programmed=True",
      "Ready=True",
    ]);
  });

  test.for<[string, string, Ask, number, string]>([
    ["canary.example.com", "/", {}, 200, "web"],
    ["matching.example.com", "/items/7", {}, 200, "web-canary"],
    ["matching.example.com", "/", { headers: { cookie: "tier=gold" } }, 200, "web-canary"],
    ["headers.example.com", "/", {}, 200, "web"],
    ["old.example.com", "/x", {}, 301, ""],
    ["rewrite.example.com", "/shop/a", {}, 200, "web"],
    ["mirror.example.com", "/", {}, 200, "web"],
    ["resilience.example.com", "/", {}, 200, "web"],
    ["cors.example.com", "/", {}, 200, "web"],
    ["ping.example.com", "/", {}, 200, "pong"],
    ["shop.example.com", "/", { headers: { "x-beta": "1" } }, 200, "frontend-beta"],
    ["shop.example.com", "/catalogue", {}, 301, ""],
    ["api.shop.example.com", "/cart", {}, 200, "cartservice"],
    ["api.shop.example.com", "/ads/today", {}, 200, "adservice"],
    ["api.shop.example.com", "/checkout", { method: "POST", body: "x" }, 200, "checkoutservice"],
  ])("%s%s", async ([host, path, options, status, body]) => {
    const reply = await rig.ask(path, { ...options, host });
    expect(reply.status).toBe(status);
    expect(reply.body.startsWith(body)).toBe(true);
  });

  test("the shop's canary gets its tenth", async () => {
    const seen = await Promise.all(
      Array.from({ length: 1000 }, async () => (await rig.ask("/", { host: "shop.example.com" })).body),
    );
    const canary = seen.filter((body) => body === "frontend-canary").length;
    expect(seen.filter((body) => body === "frontend").length + canary).toBe(1000);
    expect(Math.abs(canary - 100)).toBeLessThan(50);
  });

  test("the assistant speaks WebSocket", async () => {
    const service = backends.get("shoppingassistantservice")!;
    const sockets = new WebSocketServer({ server: service.server, path: "/assistant" });
    sockets.on("connection", (socket) =>
      socket.on("message", (data: Buffer) => socket.send(`heard ${data.toString()}`)),
    );
    const client = new WebSocket(`ws://127.0.0.1:${rig.port}/assistant`, { headers: { host: "shop.example.com" } });
    const heard = new Promise<string>((resolve, reject) => {
      client.on("message", (data: Buffer) => resolve(data.toString()));
      client.on("error", reject);
    });
    client.on("open", () => client.send("hello"));
    expect(await heard).toBe("heard hello");
    client.terminate();
    sockets.close();
  });

  test("what a sample says of headers and paths happens", async () => {
    await rig.ask("/ads/today", { host: "api.shop.example.com" });
    expect(backends.get("adservice")?.seen.at(-1)?.url).toBe("/v1/ads/today");
    await rig.ask("/v1/items", { host: "rewrite.example.com" });
    await rig.ask("/", { host: "headers.example.com", headers: { "x-debug": "1" } });
    const seen = backends.get("web")?.seen ?? [];
    expect(seen.at(-2)?.url).toBe("/items");
    expect([headersOf(seen.at(-1)!, "x-environment"), headersOf(seen.at(-1)!, "x-debug")]).toEqual([["demo"], []]);
  });
});
