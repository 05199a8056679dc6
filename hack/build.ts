/**
 * Makes `dist/`: the program in a few files, with everything that it needs of its dependencies and nothing else. Only what
 * a command uses is loaded, which halves the memory of an idle controller; the image needs no node_modules.
 */
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rolldown } from "rolldown";

const ROOT = join(import.meta.dirname, "..");
const DIST = join(ROOT, "dist");

/** The folder of the package that a bundled module comes from; undefined for our own. */
const packageOf = (module: string): string | undefined =>
  /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(module.replaceAll("\\", "/"))?.[1];

/** Licences ask that their text goes along with every copy. */
function licenceOf(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Record<
    string,
    string
  >;
  const files = readdirSync(folder).filter(
    (file) => /^(licen[cs]e|notice|copying)/i.test(file) && !/\.(js|ts)$/.test(file),
  );
  const texts = files.map((file) => readFileSync(join(folder, file), "utf8").trim());
  return [`${name} ${version} (${license})`, ...texts].join("\n\n");
}

rmSync(DIST, { recursive: true, force: true });
const bundle = await rolldown({
  // A worker is a program of its own, which the command starts from beside itself.
  input: { main: join(ROOT, "src/main.ts"), "gateway-worker": join(ROOT, "src/commands/gateway-worker.ts") },
  platform: "node",
  // Its index loads every API type of Kubernetes; none of them does anything by being loaded.
  treeshake: { moduleSideEffects: [{ test: /node_modules\/@kubernetes\/client-node\//, sideEffects: false }] },
});
const { output } = await bundle.write({ dir: DIST, format: "esm" });
const modules = output.flatMap((chunk) => (chunk.type === "chunk" ? chunk.moduleIds : []));
const packages = [...new Set(modules.flatMap((module) => packageOf(module) ?? []))].sort();
writeFileSync(join(DIST, "THIRD_PARTY_LICENSES.txt"), packages.map(licenceOf).join(`\n\n${"-".repeat(80)}\n\n`) + "\n");
if (!existsSync(join(DIST, "main.js"))) throw new Error("dist/main.js was not written");
console.log(`dist/: ${output.length} files of ${modules.length} modules, ${packages.length} packages`);
