import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { stringify } from "yaml";
import { tableDump } from "../../src/commands/table-dump.ts";
import type { DesiredCondition } from "../../src/api/condition.ts";
import { pipeline } from "../support/objects.ts";

const CASES = join(import.meta.dirname, "cases");
const MARK = "# --- table and statuses ---\n";

const brief = (conditions: readonly DesiredCondition[]): string[] =>
  conditions.map(({ type, status, reason, message }) => `${type}=${status}/${reason}: ${message}`);

/** Input, table and statuses of one behaviour, in one diff. Updated by `npm run golden:update`, never in CI. */
function render(yaml: string): string {
  const rig = pipeline();
  const output = rig.apply(yaml);
  const routes = Object.fromEntries(
    [...(output?.routeStatuses ?? [])].sort().map(([key, status]) => [
      key,
      status === undefined
        ? null
        : {
            conditions: brief(status.conditions),
            parents: status.parents.map(({ parentRef, conditions }) => ({
              parentRef,
              conditions: brief(conditions),
            })),
            rules: status.rules,
            summary: status.summary,
          },
    ]),
  );
  const gateways = Object.fromEntries(
    [...(output?.gatewayStatuses ?? [])]
      .sort()
      .filter(([key]) => key !== "Gateway//builtin")
      .map(([key, status]) => [
        key,
        status === undefined
          ? null
          : {
              conditions: brief(status.conditions),
              listeners: status.listeners.map(({ name, attachedRoutes, conditions }) => ({
                name,
                attachedRoutes,
                conditions: brief(conditions),
              })),
            },
      ]),
  );
  return stringify(
    { table: tableDump(rig.translator.table), routes, gateways },
    { lineWidth: 0, aliasDuplicateObjects: false },
  );
}

test.for(readdirSync(CASES).filter((name) => name.endsWith(".yaml")))("%s", async (file) => {
  const path = join(CASES, file);
  const [input = ""] = readFileSync(path, "utf8").split(MARK);
  await expect(`${input}${MARK}${render(input)}`).toMatchFileSnapshot(path);
});
