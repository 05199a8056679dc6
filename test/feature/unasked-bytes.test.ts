import { once } from "node:events";
import { type Socket, connect } from "node:net";
import { expect, test } from "vitest";
import { startRaw } from "../support/backend.ts";
import { until } from "../support/data-plane.ts";
import { WEB, cleanups, rigWith } from "../support/gateway-rig.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

const GET = "GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n";
const answer = (body: string): string => `HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n${body}`;
const ROUNDS = 50;

test("S18: what a backend says while the gateway is busy is not the answer to a request that has come meanwhile", async () => {
  const { rig } = await rigWith();
  let last: Socket | undefined;
  const raw = await startRaw((socket) => {
    last = socket;
    socket.on("data", () => socket.write(answer("good")));
  });
  cleanups.push(raw.stop);
  await rig.publish(serviceYaml("web", [raw.port]) + routeYaml("r", WEB));
  let heard = "";
  const client = connect(rig.port, "127.0.0.1").on("data", (chunk) => (heard += chunk.toString()));
  cleanups.push(async () => Promise.resolve(client.destroy()));
  await once(client, "connect");
  for (let i = 0; i < ROUNDS; i++) {
    const answers = heard.split("200 OK").length;
    // Both are there when the gateway, which shares this process, looks again: first the request, then the bytes.
    client.write(GET);
    last?.write(answer("evil"));
    await until("it is answered", () => heard.split("200 OK").length > answers && /\r\n\r\n\S{4}$/.test(heard));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(heard.match(/good|evil/g)).toEqual(Array.from({ length: ROUNDS }, () => "good"));
});
