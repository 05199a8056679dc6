import { ChannelCredentials, Client, Metadata, ServerCredentials, status } from "@grpc/grpc-js";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { authorityAt, credentialsAt } from "../../src/pki/authority.ts";
import { controllerIdentity, proxyIdentity } from "../../src/pki/identity.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { RoutingTable, emptyDiff } from "../../src/routing/routing-table.ts";
import { EnvoyDataPlane } from "../../src/xds/envoy-data-plane.ts";
import { DeltaDiscoveryRequestSchema } from "../../src/xds/generated/envoy/service/discovery/v3/discovery_pb.js";

const now = Date.now();
const LIFE = { now, lifeMs: 3_600_000 };
const authority = authorityAt(undefined, now);
const own = credentialsAt(authority, controllerIdentity(["localhost"]), undefined, LIFE);
const METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
const CLUSTERS = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

const plane = new EnvoyDataPlane({
  table: new RoutingTable(),
  options: { showReason: false, showRoute: false, underscores: "reject", trustedHops: 0, http2: true },
  log: createLogger("silent"),
  events: { listenerState: () => undefined, routeServed: () => undefined },
});
let port = 0;

beforeAll(async () => {
  const pair = { cert_chain: Buffer.from(own.certificate), private_key: Buffer.from(own.key) };
  port = await plane.listen("127.0.0.1:0", ServerCredentials.createSsl(Buffer.from(own.trusted), [pair], true));
  plane.publish(emptyDiff());
});
afterAll(async () => plane.drain());

/** What becomes of a stream whose proxy says that it is one of `gateway`: a status, or the bytes of an answer. */
async function ask(gateway: string, credentials: ChannelCredentials): Promise<{ code?: number; bytes: number }> {
  const client = new Client(`localhost:${port}`, credentials);
  const call = client.makeBidiStreamRequest(
    METHOD,
    (bytes: Uint8Array) => Buffer.from(bytes),
    (bytes) => bytes,
    new Metadata(),
    { deadline: Date.now() + 5000 },
  );
  const request = create(DeltaDiscoveryRequestSchema, { node: { id: "one", cluster: gateway }, typeUrl: CLUSTERS });
  call.write(toBinary(DeltaDiscoveryRequestSchema, request));
  try {
    return await new Promise((resolve) => {
      call.on("data", (bytes: Buffer) => resolve({ bytes: bytes.length }));
      call.on("error", ({ code }: Error & { code?: number }) => resolve({ code: code ?? -1, bytes: 0 }));
    });
  } finally {
    call.cancel();
    client.close();
  }
}

function showing(gateway: string, by = authority): ChannelCredentials {
  const { key, certificate } = credentialsAt(by, proxyIdentity(gateway), undefined, LIFE);
  return ChannelCredentials.createSsl(Buffer.from(own.trusted), Buffer.from(key), Buffer.from(certificate));
}

describe("who asks for a Gateway's resources over TLS", () => {
  test("its own proxy is answered", async () => {
    expect((await ask("shop/public", showing("shop/public"))).bytes).toBeGreaterThan(0);
  });

  test("S9: another Gateway's proxy is told nothing", async () => {
    const other = await ask("shop/public", showing("shop/other"));
    expect(other).toEqual({ code: status.PERMISSION_DENIED, bytes: 0 });
  });

  test.each([
    ["in clear", () => ChannelCredentials.createInsecure()],
    ["without a certificate", () => ChannelCredentials.createSsl(Buffer.from(own.trusted))],
    ["with one of somebody else's authority", () => showing("shop/public", authorityAt(undefined, now))],
  ])("S9: who comes %s is told nothing", async (_, credentials) => {
    const { code, bytes } = await ask("shop/public", credentials());
    expect([code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED, bytes]).toEqual([true, 0]);
  });
});
