import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { keyOf } from "../../src/api/keys.ts";
import type { ListenerId } from "../../src/routing/listener.ts";
import { Pki } from "../support/pki.ts";
import { objectsFrom, pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;
const FULL = process.env["SERVICEROUTE_TEST_SIZE"] === "full";
const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe("P21: as many and as long matches as the schema allows", () => {
  const headers = range(16).map((i) => `{name: x-h${i}, value: v${i}}`);
  const backends = range(16).map((i) => `{name: s${i}, port: 80}`);
  const rules = range(64).map(
    (r) =>
      `{matches: [${range(4)
        .map((m) => `{path: {value: /r${r}/m${m}}, headers: [${headers.join(",")}]}`)
        .join(",")}], backendRefs: [${backends.join(",")}]}`,
  );
  const largest = (i: number): string =>
    routeYaml(`r${i}`, `hostnames: [h${i}.example.com]\nrules: [${rules.join(",")}]`);

  test("cost what they hold: entries are matches, and backends are not multiplied by them", () => {
    const rig = pipeline();
    rig.apply(
      range(16)
        .map((i) => serviceYaml(`s${i}`))
        .join("") + largest(0),
    );
    const table = rig.translator.table.routes.get(keyOf("ServiceRoute", "default", "r0"));
    expect(table?.entries.length).toBe(256);
    expect(new Set(table?.entries.map(({ rule }) => rule)).size).toBe(64);
    const targets = table?.entries.flatMap(({ rule }) =>
      rule.action.kind === "forward" ? rule.action.backends.map(({ target }) => target) : [],
    );
    expect(new Set(targets).size).toBe(16);
  });

  test("grow memory with their number, not faster", () => {
    const bytesAfter = (count: number): number => {
      const rig = pipeline();
      rig.apply(
        range(16)
          .map((i) => serviceYaml(`s${i}`))
          .join(""),
      );
      const objects = range(count).flatMap((i) => objectsFrom(largest(i)));
      collectGarbage();
      const before = process.memoryUsage().heapUsed;
      rig.store.transaction(() => objects.forEach((object) => rig.store.apply(object)));
      rig.settle();
      collectGarbage();
      const after = process.memoryUsage().heapUsed;
      expect(rig.translator.table.routes.size).toBe(count);
      return after - before;
    };
    bytesAfter(2);
    const [few, many] = [bytesAfter(10) / 10, bytesAfter(FULL ? 100 : 30) / (FULL ? 100 : 30)];
    console.log(
      `# P21: ${Math.round(few / 1024)} KB a route of 256 matches, ${Math.round(many / 1024)} KB with more of them`,
    );
    expect(many).toBeLessThan(few * 1.3);
    expect(many).toBeLessThan(1024 * 1024);
  });
});

test("F27, S25: the key of a certificate that was replaced is let go", async () => {
  const folder = mkdtempSync(join(tmpdir(), "serviceroute-memory-"));
  const pki = new Pki(folder);
  const pair = (name: string): string => {
    const { cert, key } = pki.issue(name, `/CN=${name}`, "");
    const data = (file: string): string => readFileSync(file).toString("base64");
    return `---\n{apiVersion: v1, kind: Secret, metadata: {name: tls}, type: kubernetes.io/tls, data: {tls.crt: ${data(cert)}, tls.key: ${data(key)}}}\n`;
  };
  const rig = pipeline();
  rig.apply(
    `${pair("old")}---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec: {gatewayClassName: serviceroute, listeners: [{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: tls}]}}]}\n`,
  );
  const keyNow = (): object | undefined =>
    rig.translator.table.listeners.get("default/gw/https" as ListenerId)?.certificates[0]?.key;
  const old = new WeakRef(keyNow()!);
  rig.apply(pair("new"));
  const kept = new WeakRef(keyNow()!);
  // What a computation has just read may be held until the next turn of the event loop.
  await new Promise((resolve) => setTimeout(resolve, 10));
  collectGarbage();
  expect([old.deref(), kept.deref()]).toEqual([undefined, keyNow()]);
  rmSync(folder, { recursive: true });
});
