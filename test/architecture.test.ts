import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import ts from "typescript";
import { describe, expect, test } from "vitest";

const SRC = join(import.meta.dirname, "../src");

/** Who may import whom: folders of src, and packages (`node:` modules that do I/O count as packages). */
const MAY_IMPORT: Readonly<
  Record<string, { readonly folders: readonly string[]; readonly packages: readonly string[] }>
> = {
  api: { folders: [], packages: ["zod"] },
  routing: { folders: ["api"], packages: ["re2js"] },
  snapshot: { folders: ["api", "routing"], packages: ["@preact/signals-core", "node:util"] },
  translate: {
    folders: ["api", "routing", "snapshot"],
    packages: ["@preact/signals-core", "zod", "node:util", "node:net", "node:crypto", "node:tls"],
  },
  kube: { folders: ["telemetry"], packages: ["@kubernetes/client-node", "undici", "node:timers/promises"] },
  sources: {
    folders: ["api", "snapshot", "telemetry", "kube"],
    packages: ["yaml", "node:fs", "node:fs/promises", "node:crypto", "node:path", "node:stream/consumers", "node:util"],
  },
  workers: { folders: ["api", "routing", "telemetry"], packages: ["node:v8", "node:timers/promises", "node:util"] },
  controller: { folders: ["api", "routing", "snapshot", "translate", "telemetry"], packages: [] },
  proxy: {
    folders: ["api", "routing", "telemetry"],
    packages: [
      "undici",
      "node:http",
      "node:http2",
      "node:https",
      "node:net",
      "node:tls",
      "node:dgram",
      "node:events",
      "node:stream",
      "node:crypto",
      "node:timers/promises",
      "node:util",
    ],
  },
  pki: { folders: [], packages: ["@peculiar/asn1-schema", "@peculiar/asn1-x509", "node:crypto"] },
  xds: {
    folders: ["api", "routing", "telemetry", "pki"],
    packages: [
      "@bufbuild/protobuf",
      "@bufbuild/protobuf/wire",
      "@bufbuild/protobuf/wkt",
      "@grpc/grpc-js",
      "node:crypto",
      "node:util",
    ],
  },
  status: { folders: ["api", "routing", "telemetry", "kube"], packages: ["node:util"] },
  provision: { folders: ["api", "routing", "telemetry", "kube"], packages: [] },
  telemetry: {
    folders: [],
    packages: [
      "pino",
      "prom-client",
      "node:fs",
      "node:http",
      "node:net",
      "node:perf_hooks",
      "@opentelemetry/api",
      "@opentelemetry/sdk-trace",
      "@opentelemetry/resources",
      "@opentelemetry/exporter-trace-otlp-http",
      "@opentelemetry/exporter-trace-otlp-proto",
    ],
  },
};

export function importsOf(text: string): string[] {
  return ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => fileName);
}

/** What of a file's imports its folder may not have. */
export function violations(file: string, text: string): string[] {
  const folder = file.split("/")[0] ?? "";
  const allowed = MAY_IMPORT[folder];
  if (allowed === undefined) return [];
  return importsOf(text).filter((target) => {
    if (!target.startsWith(".")) return !allowed.packages.includes(target);
    const other = join(dirname(file), target).split("/")[0] ?? "";
    return other !== folder && !allowed.folders.includes(other);
  });
}

const files = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter(
  (name) => name.endsWith(".ts") && !name.includes("/generated/"),
);
const textOf = (file: string): string => readFileSync(join(SRC, file), "utf8");

function cyclesOf(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) found.push([...path.slice(path.indexOf(file)), file].join(" → "));
    if (path.includes(file) || done.has(file)) return;
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  return found;
}

const DIALLING = /\b(connect|createConnection|createSocket|request|get|Agent|Client|Pool|fetch)\b/;

/** Whether a file has something at hand that opens a connection, or asks a name server. */
function dials(text: string): boolean {
  if (/\bfetch\(|from "(node:dns|@opentelemetry\/exporter)|import\("@opentelemetry\/exporter/.test(text)) return true;
  return [...text.matchAll(/import \{([^}]*)\} from "(node:(?:net|tls|https?|http2|dgram)|undici)"/g)].some(
    ([, names = ""]) => DIALLING.test(names.replaceAll(/type \w+/g, "")),
  );
}

/** Imports that leave something at run time; types may refer to each other. */
function valueImportsOf(text: string): string[] {
  const kept = ts.transpileModule(text, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ESNext, verbatimModuleSyntax: true },
  });
  return importsOf(kept.outputText).filter((target) => target.startsWith("."));
}

describe("architecture", () => {
  test.for(files)("%s imports only what its folder may", (file) => {
    expect(violations(file, textOf(file))).toEqual([]);
  });

  test("every folder of src has a rule", () => {
    const folders = new Set(files.filter((file) => file.includes("/")).map((file) => file.split("/")[0]));
    expect([...folders].filter((folder) => folder !== "commands" && MAY_IMPORT[folder ?? ""] === undefined)).toEqual(
      [],
    );
  });

  test("no import cycles", () => {
    const graph = new Map(
      files.map((file) => [
        file,
        valueImportsOf(textOf(file)).map((target) => relative(SRC, join(SRC, dirname(file), target))),
      ]),
    );
    expect(cyclesOf(graph)).toEqual([]);
  });

  test("S33: few files can open a connection, and none of them is told where to by a manifest's text", () => {
    expect(files.filter((file) => dials(textOf(file))).sort()).toEqual([
      "commands/admin-client.ts",
      "commands/probe-port.ts",
      "kube/api-client.ts",
      "proxy/udp/udp-server.ts",
      "proxy/udp/udp-session.ts",
      "proxy/upstream/backend-tls.ts",
      "proxy/upstream/connect.ts",
      "proxy/upstream/http1-pool.ts",
      "proxy/upstream/http2-connection.ts",
      "telemetry/tracing.ts",
    ]);
    expect(dials('import { get } from "node:https";')).toBe(true);
    expect(dials('import { isIP } from "node:net";')).toBe(false);
  });

  test("the check sees a bad file", () => {
    expect(violations("routing/bad.ts", 'import type { Store } from "../snapshot/store.ts";')).toEqual([
      "../snapshot/store.ts",
    ]);
    expect(violations("api/bad.ts", 'const fs = await import("node:fs");')).toEqual(["node:fs"]);
    expect(
      cyclesOf(
        new Map([
          ["a", ["b"]],
          ["b", ["a"]],
        ]),
      ),
    ).not.toEqual([]);
  });
});
