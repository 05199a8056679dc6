import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { LastGoodKeeper, readLastGood, restore } from "../../src/sources/last-good/last-good.ts";
import { tableDump } from "../../src/commands/table-dump.ts";
import { until } from "../support/data-plane.ts";
import { pipeline, routeYaml, serviceYaml } from "../support/objects.ts";

const SECRET = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {tls.key: Y2FuYXJ5}\n";

async function saved(): Promise<{ file: string; table: object }> {
  const file = join(mkdtempSync(join(tmpdir(), "serviceroute-last-good-")), "file");
  const rig = pipeline();
  rig.apply(
    serviceYaml("web") +
      SECRET +
      routeYaml("r", "hostnames: [a.example.com]\nrules: [{backendRefs: [{name: web, port: 80}]}]"),
  );
  const keeper = new LastGoodKeeper(file, rig.store, true, () => undefined);
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
    restore(rig.store, found.objects);
    rig.settle();
    expect(tableDump(rig.translator.table)).toEqual(table);
    expect(readFileSync(file, "utf8")).not.toContain("Y2FuYXJ5");
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
    expect(readLastGood("/nowhere", 60, Date.now())).toMatchObject({
      ok: false,
      problem: expect.stringMatching(/ENOENT/) as string,
    });
  });
});
