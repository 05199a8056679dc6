/** Writes every generated file; with `--check` writes nothing and fails when one is out of date. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { serviceRouteCrd } from "./crd.ts";

const root = join(import.meta.dirname, "..");
const generated: Readonly<Record<string, () => string>> = {
  "crds/serviceroute.dev_serviceroutes.yaml": serviceRouteCrd,
};

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

const stale: string[] = [];
for (const [path, make] of Object.entries(generated)) {
  const text = make();
  if (read(join(root, path)) === text) continue;
  stale.push(path);
  if (!process.argv.includes("--check")) writeFileSync(join(root, path), text);
}
if (process.argv.includes("--check") && stale.length > 0) {
  console.error(`out of date: ${stale.join(", ")}; run: npm run generate`);
  process.exit(1);
}
console.log(stale.length === 0 ? "generated files are up to date" : `wrote ${stale.join(", ")}`);
