import { Command } from "commander";
import type { DesiredCondition, FieldError } from "../api/condition.ts";
import { type Key, displayName } from "../api/keys.ts";
import { compareText } from "../routing/precedence.ts";
import type { RouteKey } from "../routing/routing-table.ts";
import type { DesiredGatewayStatus } from "../routing/status-report.ts";
import { Folder, byKind, readStdin, type Reading } from "../sources/files/folder.ts";
import { type Diagnostic, formatDiagnostic } from "../sources/files/manifest.ts";
import { Store } from "../snapshot/store.ts";
import type { TranslateOptions } from "../translate/options.ts";
import type { RouteTranslation } from "../translate/translate-route.ts";
import { Translator } from "../translate/translator.ts";
import { CommandError } from "./exit.ts";
import { gatewayClassOption } from "./gateway-flags.ts";
import { outputOption, paint, print, printData, type Format } from "./output.ts";

/** What decides about a folder besides what is in it. */
export interface ReadingFlags {
  readonly gatewayClass?: string | undefined;
}

const OPTIONS: TranslateOptions = {
  classByName: true,
  bindAddress: "127.0.0.1",
  advertisedAddress: "127.0.0.1",
  allowLoopback: true,
  // As in a cluster: that two Gateways want one port is a matter of the host that they are served on.
  ownAddresses: true,
  builtin: { httpPort: 8080, httpsPort: 8443 },
};

export async function readFolder(paths: readonly string[]): Promise<Reading> {
  try {
    return new Folder(paths, await readStdin(paths)).read();
  } catch (error) {
    throw new CommandError(
      `cannot read ${(error as NodeJS.ErrnoException).path ?? paths.join(", ")}: ${(error as Error).message}`,
    );
  }
}

export function translateReading(reading: Reading, { gatewayClass }: ReadingFlags): Translator {
  const store = new Store();
  const translator = new Translator(store, { ...OPTIONS, ...(gatewayClass === undefined ? {} : { gatewayClass }) });
  translator.setTime(Date.now());
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

function routeDiagnostics(
  reading: Reading,
  key: RouteKey,
  translation: RouteTranslation,
  shadows: readonly string[],
): Diagnostic[] {
  const location = reading.objects.get(key)?.location;
  if (location === undefined) return [];
  const object = `ServiceRoute ${displayName(key)}`;
  const at = (field: string, message: string): Diagnostic => ({
    file: location.file,
    ...location.at(pathOf(field)),
    object,
    message: field === "" ? message : `${field}: ${message}`,
  });
  const errors: readonly FieldError[] = [...translation.specErrors, ...translation.refErrors];
  // Of a route that cannot be read at all each parent says the same once more.
  const isUnread = translation.rules.length === 0 && translation.specErrors.length > 0;
  const refused = isUnread ? [] : translation.parents.filter(({ accepted }) => !accepted);
  return [
    ...errors.map(({ field, message }) => at(field, message)),
    ...refused.map(({ parentRef, message }) => at("parentRefs", `${parentRef.name}: ${message}`)),
    ...shadows.map((message) => at("rules", message)),
  ];
}

function gatewayDiagnostics(
  reading: Reading,
  key: Key<"Gateway">,
  { listeners, conditions: whole }: DesiredGatewayStatus,
): Diagnostic[] {
  const location = reading.objects.get(key)?.location;
  if (location === undefined) return [];
  const isBad = ({ type, status }: DesiredCondition): boolean =>
    type === "Conflicted" ? status === "True" : status === "False" && type !== "Programmed";
  const isRefused = ({ status, reason }: DesiredCondition): boolean =>
    status === "False" && ["InvalidParameters", "UnsupportedAddress", "AddressNotUsable"].includes(reason);
  const refused = whole
    .filter(isRefused)
    .slice(0, 1)
    .map(({ message }) => ({
      file: location.file,
      ...location.at(["spec"]),
      object: `Gateway ${displayName(key)}`,
      message,
    }));
  const perListener = listeners.flatMap(({ conditions }, i) => {
    const bad = conditions.find(isBad);
    const object = `Gateway ${displayName(key)}`;
    return bad === undefined
      ? []
      : [
          {
            file: location.file,
            ...location.at(["spec", "listeners", i]),
            object,
            message: bad.message.startsWith("listeners[") ? bad.message : `listeners[${i}]: ${bad.message}`,
          },
        ];
  });
  return [...refused, ...perListener];
}

const byPlace = (a: Diagnostic, b: Diagnostic): number =>
  compareText(a.file, b.file) || a.line - b.line || a.column - b.column;

/** Everything wrong with the objects of a reading: in their files, in their fields, and between them. */
export function diagnose(reading: Reading, flags: ReadingFlags): Diagnostic[] {
  const output = translateReading(reading, flags).flush();
  const shadowsOf = (key: RouteKey): string[] =>
    (output?.routeStatuses.get(key)?.conditions ?? []).filter((c) => c.type === "Shadowed").map((c) => c.message);
  const routes = [...(output?.translations ?? [])].flatMap(([key, translation]) =>
    translation === undefined ? [] : routeDiagnostics(reading, key, translation, shadowsOf(key)),
  );
  const gateways = [...(output?.gatewayStatuses ?? [])].flatMap(([key, status]) =>
    status === undefined ? [] : gatewayDiagnostics(reading, key, status),
  );
  return [...reading.errors, ...routes, ...gateways].sort(byPlace);
}

export function validateCommand(): Command {
  return new Command("validate")
    .summary("check manifests before they are applied")
    .description(
      "Checks every object by itself and against the others. Exit code 1 when something is wrong, 2 when the command itself is.",
    )
    .argument("<path...>", "folders, files, or - for stdin")
    .addOption(gatewayClassOption())
    .addOption(outputOption(["table", "json", "yaml"], "table"))
    .action(async (paths: string[], { output, ...flags }: ReadingFlags & { output: Format }) => {
      const reading = await readFolder(paths);
      const diagnostics = diagnose(reading, flags);
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
