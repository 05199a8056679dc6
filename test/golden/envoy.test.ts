import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { stringify } from "yaml";
import { XdsTable } from "../../src/xds/xds-table.ts";
import { resourceJson } from "../support/envoy-json.ts";
import { pipeline } from "../support/objects.ts";

const CASES = join(import.meta.dirname, "envoy");
const MARK = "# --- resources of Envoy ---\n";
const OPTIONS = { showReason: true, showRoute: false, underscores: "reject", trustedHops: 0, http2: true } as const;

/** Manifests, and all that the proxies of their Gateway are given. */
function render(yaml: string): string {
  const output = pipeline().apply(yaml);
  if (output === undefined) throw new Error("nothing came of it");
  const table = new XdsTable(OPTIONS);
  const changes = table.apply(output.diff);
  const resources = [...changes.keys()].flatMap((key) => [...(table.resources(key)?.values() ?? [])]);
  const sorted = resources.sort((a, b) => (a.id < b.id ? -1 : 1));
  return stringify(Object.fromEntries(sorted.map((one) => [one.id, resourceJson(one)])), {
    aliasDuplicateObjects: false,
    lineWidth: 0,
  });
}

test.for(readdirSync(CASES))(
  "D46, S4, S32: %s is said to Envoy in full, and in the same bytes every time",
  async (file) => {
    const [input = ""] = readFileSync(join(CASES, file), "utf8").split(MARK);
    const output = render(input);
    expect(render(input)).toBe(output);
    await expect(input + MARK + output).toMatchFileSnapshot(join(CASES, file));
  },
);
