import { Command } from "commander";
import type { FieldError } from "../api/condition.ts";
import { displayName } from "../api/keys.ts";
import { Folder, byKind, type Reading } from "../sources/files/folder.ts";
import { type Diagnostic, formatDiagnostic } from "../sources/files/manifest.ts";
import { Store } from "../snapshot/store.ts";
import type { TranslateOptions } from "../translate/options.ts";
import { Translator } from "../translate/translator.ts";
import { CommandError } from "./exit.ts";
import { outputOption, paint, print, printData, type Format } from "./output.ts";

const OPTIONS: TranslateOptions = {
  gatewayClass: "serviceroute",
  classByName: true,
  bindAddress: "127.0.0.1",
  advertisedAddress: "127.0.0.1",
  allowLoopback: true,
  builtin: { httpPort: 8080, httpsPort: 8443 },
};

export function readFolder(paths: readonly string[]): Reading {
  try {
    return new Folder(paths).read();
  } catch (error) {
    throw new CommandError(
      `cannot read ${(error as NodeJS.ErrnoException).path ?? paths.join(", ")}: ${(error as Error).message}`,
    );
  }
}

export function translateReading(reading: Reading): Translator {
  const store = new Store();
  const translator = new Translator(store, OPTIONS);
  store.transaction(() => {
    for (const [kind, objects] of byKind(reading)) store.replace(kind, objects);
  });
  return translator;
}

/** `rules[0].backendRefs[1].port` → `["spec", "rules", 0, "backendRefs", 1, "port"]`. */
function pathOf(field: string): (string | number)[] {
  const parts = field.matchAll(/([^.[\]]+)|\[([0-9]+)\]/g);
  return ["spec", ...[...parts].map(([, name, index]) => (index === undefined ? (name ?? "") : Number(index)))];
}

/** Everything wrong with the objects of a reading: in their files, in their fields, and between them. */
export function diagnose(reading: Reading): Diagnostic[] {
  const out: Diagnostic[] = [...reading.errors];
  const output = translateReading(reading).flush();
  for (const [key, translation] of output?.translations ?? []) {
    const found = reading.objects.get(key);
    if (translation === undefined || found === undefined) continue;
    const add = (field: string, message: string): void => {
      const object = `ServiceRoute ${displayName(key)}`;
      out.push({
        file: found.location.file,
        ...found.location.at(pathOf(field)),
        object,
        message: field === "" ? message : `${field}: ${message}`,
      });
    };
    const errors: readonly FieldError[] = [...translation.specErrors, ...translation.refErrors];
    for (const { field, message } of errors) add(field, message);
    for (const { parentRef, accepted, message } of translation.parents)
      if (!accepted) add("parentRefs", `${parentRef.name}: ${message}`);
    for (const message of shadowsOf(output?.routeStatuses.get(key)?.conditions)) add("rules", message);
  }
  for (const [key, status] of output?.gatewayStatuses ?? []) {
    const found = reading.objects.get(key);
    for (const listener of status?.listeners ?? []) {
      const bad = listener.conditions.find((c) =>
        c.type === "Conflicted" ? c.status === "True" : c.status === "False" && c.type !== "Programmed",
      );
      if (bad === undefined || found === undefined) continue;
      const index = status?.listeners.indexOf(listener) ?? 0;
      out.push({
        file: found.location.file,
        ...found.location.at(["spec", "listeners", index]),
        object: `Gateway ${displayName(key)}`,
        message: `listeners[${index}]: ${bad.message}`,
      });
    }
  }
  return out.sort((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line || a.column - b.column));
}

const shadowsOf = (conditions: readonly { type: string; message: string }[] | undefined): string[] =>
  (conditions ?? []).filter((c) => c.type === "Shadowed").map((c) => c.message);

export function validateCommand(): Command {
  return new Command("validate")
    .summary("check manifests before they are applied")
    .description(
      "Checks every object by itself and against the others. Exit code 1 when something is wrong, 2 when the command itself is.",
    )
    .argument("<path...>", "folders, files, or - for stdin")
    .addOption(outputOption(["table", "json", "yaml"], "table"))
    .action((paths: string[], { output }: { output: Format }) => {
      const reading = readFolder(paths);
      const diagnostics = diagnose(reading);
      if (output !== "table") printData(diagnostics, output);
      else {
        for (const diagnostic of diagnostics) print(formatDiagnostic(diagnostic));
        for (const skipped of reading.skipped) print(paint("yellow", formatDiagnostic(skipped)));
        const count = `${reading.objects.size} objects, ${diagnostics.length} problems`;
        print(paint(diagnostics.length === 0 ? "green" : "red", count));
      }
      process.exitCode = diagnostics.length === 0 ? 0 : 1;
    });
}
