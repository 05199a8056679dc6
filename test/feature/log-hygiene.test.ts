import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Backend, startRaw } from "../support/backend.ts";
import { send } from "../support/data-plane.ts";
import { freePort } from "../support/ports.ts";
import { runGateway } from "../support/gateway-process.ts";
import { routeYaml, serviceYaml } from "../support/objects.ts";

const CANARY = "canary-7f3a9";
const folder = mkdtempSync(join(tmpdir(), "serviceroute-logs-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const encoded = Buffer.from(CANARY).toString("base64");
const SECRET = `---
apiVersion: v1
kind: Secret
metadata: {name: broken}
type: kubernetes.io/tls
data: {tls.crt: ${encoded}, tls.key: ${encoded}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw}
spec: {gatewayClassName: serviceroute, listeners: [{name: https, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: broken}]}}]}
`;
const route = (name: string, backend: string): string =>
  `{matches: [{path: {value: /${name}}}], backendRefs: [{name: ${backend}, port: 80}]}`;

test("S26: at the most talkative level no credential, cookie or query of a client is in log, metrics or dumps, whatever the answer", async () => {
  const good = await new Backend("good").start();
  const resets = await startRaw((socket) => socket.once("data", () => socket.resetAndDestroy()));
  const talksNonsense = await startRaw((socket) => socket.once("data", () => socket.end(`${CANARY} nonsense\r\n\r\n`)));
  const nobody = await freePort();
  writeFileSync(
    join(folder, "routes.yaml"),
    SECRET +
      serviceYaml("good", [good.port]) +
      serviceYaml("resets", [resets.port]) +
      serviceYaml("nonsense", [talksNonsense.port]) +
      serviceYaml("away", [nobody]) +
      serviceYaml("empty", []) +
      routeYaml(
        "r",
        `hostnames: [a.example.com]\nrules: [${["good", "resets", "nonsense", "away", "empty", "missing"].map((name) => route(name, name)).join(",")}]`,
      ),
  );
  const { program, port, admin } = await runGateway([folder], ["--log-level", "trace", "--reason-header"]);
  const headers = {
    host: "a.example.com",
    authorization: `Bearer ${CANARY}`,
    "proxy-authorization": `Basic ${encoded}`,
    cookie: `session=${CANARY}`,
    "x-api-key": CANARY,
  };
  const statuses: (number | undefined)[] = [];
  const shown: string[] = [];
  for (const path of ["good", "resets", "nonsense", "away", "empty", "missing", "none"]) {
    const reply = await send(port, `/${path}?token=${CANARY}`, { headers });
    statuses.push(reply.status);
    shown.push(JSON.stringify(reply));
  }
  expect(statuses).toEqual([200, 503, 502, 503, 503, 500, 404]);
  for (const broken of [`GET /?${CANARY} HTTP/9\r\n\r\n`, `GET /%zz?${CANARY} HTTP/1.1\r\nhost: a.example.com\r\n\r\n`])
    await new Promise<void>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => socket.write(broken));
      socket.on("data", () => socket.end());
      socket.on("close", () => resolve());
    });
  for (const path of ["/metrics", "/v1/table", "/v1/routes", "/v1/gateways"])
    shown.push(await (await fetch(`http://127.0.0.1:${admin}${path}`)).text());
  await program.stop();
  await Promise.all([good.stop(), resets.stop(), talksNonsense.stop()]);
  expect(program.output).toContain("serving");
  for (const text of [program.output, ...shown]) {
    expect(text).not.toContain(CANARY);
    expect(text).not.toContain(encoded);
  }
});
