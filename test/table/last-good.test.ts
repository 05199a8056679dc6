import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { KubeObject } from "../../src/api/objects.ts";
import { ALL_KINDS } from "../../src/api/kinds.ts";
import { LastGoodKeeper, readLastGood, restore } from "../../src/sources/last-good/last-good.ts";
import type { Store } from "../../src/snapshot/store.ts";
import { tableDump } from "../../src/commands/table-dump.ts";
import { until } from "../support/data-plane.ts";
import { pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

const SECRET = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {tls.key: Y2FuYXJ5}\n";

const newFile = (): string => join(mkdtempSync(join(tmpdir(), "serviceroute-last-good-")), "file");
const keeperOf = (file: string, store: Store, now = Date.now): LastGoodKeeper =>
  new LastGoodKeeper({ file, store, builtin: true, now, failed: (error) => expect.fail(String(error)) });

async function saved(): Promise<{ file: string; table: object }> {
  const file = newFile();
  const rig = pipeline();
  rig.apply(
    serviceYaml("web") +
      SECRET +
      routeYaml("r", "hostnames: [a.example.com]\nrules: [{backendRefs: [{name: web, port: 80}]}]"),
  );
  const keeper = keeperOf(file, rig.store);
  keeper.changed();
  await until("written", () => readLastGood(file, 60, Date.now()).ok, 5000);
  await keeper.stop();
  return { file, table: tableDump(rig.translator.table) };
}

describe("F9: the last good table", () => {
  test("comes back as it was, without Secrets", async () => {
    const { file, table } = await saved();
    const found = readLastGood(file, 60, Date.now());
    if (!found.ok) throw new Error(found.problem);
    const rig = pipeline();
    restore(rig.store, found.objects, ALL_KINDS);
    rig.settle();
    expect(tableDump(rig.translator.table)).toEqual(table);
    expect(readFileSync(file, "utf8")).not.toContain("Y2FuYXJ5");
  });

  test("gives way to what the API server says of the same version, which another build may have read otherwise", async () => {
    const { file } = await saved();
    const found = readLastGood(file, 60, Date.now());
    if (!found.ok) throw new Error(found.problem);
    const rig = pipeline();
    const version = (object: KubeObject): KubeObject => ({
      ...object,
      metadata: { ...object.metadata, resourceVersion: "7" },
    });
    const objects = found.objects.map(version);
    restore(rig.store, objects, ALL_KINDS);
    for (const kind of ["Service", "ServiceRoute"] as const) {
      const [kept] = objects.filter((object) => object.kind === kind);
      const generation = kind === "ServiceRoute" ? 3 : 0;
      restore(rig.store, [{ ...kept!, metadata: { ...kept!.metadata, generation } }], [kind]);
      const read = { ...kept!, spec: {}, metadata: { ...kept!.metadata, generation, gatewayUid: "u" } } as KubeObject;
      rig.store.replace(kind, [read]);
      expect(rig.store.peek(read.key)).toEqual(read);
    }
  });

  test("leaves what the API server has listed already as it is", async () => {
    const { file } = await saved();
    const found = readLastGood(file, 60, Date.now());
    if (!found.ok) throw new Error(found.problem);
    const rig = pipeline();
    rig.apply(routeYaml("fresh", "rules: [{backendRefs: [{name: web, port: 80}]}]"));
    restore(rig.store, found.objects, ["Service", "EndpointSlice"]);
    expect([...rig.store.keys("ServiceRoute")]).toEqual(["ServiceRoute/default/fresh"]);
    expect([...rig.store.keys("Service")]).toEqual(["Service/default/web"]);
  });

  test("is refused when it was changed, is too old, or is not there", async () => {
    const { file } = await saved();
    expect(readLastGood(file, 60, Date.now() + 120_000)).toMatchObject({
      ok: false,
      problem: expect.stringMatching(/seconds old, more than 60/) as string,
    });
    writeFileSync(file, readFileSync(file, "utf8").replace("a.example.com", "b.example.com"));
    expect(readLastGood(file, 60, Date.now())).toMatchObject({
      ok: false,
      problem: expect.stringMatching(/checksum/) as string,
    });
    const other = '{"format":2,"objects":[]}';
    writeFileSync(file, `${createHash("sha256").update(other).digest("hex")}\n${other}`);
    expect(readLastGood(file, 60, Date.now())).toEqual({ ok: false, problem: `${file} has format 2, not 1` });
    expect(readLastGood("/nowhere", 60, Date.now())).toMatchObject({
      ok: false,
      problem: expect.stringMatching(/ENOENT/) as string,
    });
  });

  test("is as old as the last word that it is still true", async () => {
    const file = newFile();
    let now = Date.parse("2026-01-01T00:00:00Z");
    const keeper = keeperOf(file, pipeline().store, () => now);
    const writtenAt = async (time: number): Promise<void> =>
      until("written", () => {
        const found = readLastGood(file, 0, time);
        return found.ok && found.ageSeconds === 0;
      });
    keeper.confirmed();
    await writtenAt(now);
    now += 24 * 3600 * 1000;
    keeper.confirmed();
    await writtenAt(now);
    rmSync(file);
    now += 60_000;
    keeper.confirmed();
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(existsSync(file)).toBe(false);
    await keeper.stop();
  });
});
