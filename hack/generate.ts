/**
 * Writes every generated file; with `--check` writes nothing and fails when one is out of date. With `--descriptors` asks
 * Envoy's Go module for its descriptors first.
 */
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { serviceRouteCrd } from "./crd.ts";
import { GENERATED_FOLDER, generateEnvoyApi, writeDescriptors } from "./envoy-api.ts";

const root = join(import.meta.dirname, "..");
const isCheck = process.argv.includes("--check");

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Files of a folder that nothing else may be in. */
function filesIn(folder: string): string[] {
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
}

if (process.argv.includes("--descriptors")) await writeDescriptors(console.log);
mkdirSync(join(root, GENERATED_FOLDER), { recursive: true });
const generated = new Map([["crds/serviceroute.dev_serviceroutes.yaml", serviceRouteCrd()], ...generateEnvoyApi()]);
const wanted = new Set([...generated.keys()].map((path) => join(root, path)));
const superfluous = filesIn(GENERATED_FOLDER).filter((path) => !wanted.has(path));
const stale = [...generated].filter(([path, text]) => read(join(root, path)) !== text);
const changed = [...superfluous.map((path) => path.slice(root.length + 1)), ...stale.map(([path]) => path)];
if (isCheck && changed.length > 0) {
  console.error(`out of date: ${changed.join(", ")}; run: npm run generate`);
  process.exit(1);
}
for (const path of superfluous) rmSync(path);
for (const [path, text] of stale) {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}
if (changed.length === 0) console.log("generated files are up to date");
else console.log(changed.length > 5 ? `wrote ${changed.length} files` : `wrote ${changed.join(", ")}`);
