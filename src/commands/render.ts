import { Command } from "commander";
import { formatDiagnostic } from "../sources/files/manifest.ts";
import { outputOption, printData, type Format } from "./output.ts";
import { tableDump } from "./table-dump.ts";
import { gatewayClassOption } from "./gateway-flags.ts";
import { type ReadingFlags, readFolder, translateReading } from "./validate.ts";

export function renderCommand(): Command {
  return new Command("render")
    .summary("print the routing table that manifests come to")
    .argument("<path...>", "folders, files, or - for stdin")
    .addOption(outputOption(["yaml", "json"], "yaml"))
    .addOption(gatewayClassOption())
    .action(async (paths: string[], { output, ...flags }: ReadingFlags & { output: Format }) => {
      const reading = await readFolder(paths);
      for (const diagnostic of reading.errors) process.stderr.write(`${formatDiagnostic(diagnostic)}\n`);
      const translator = translateReading(reading, flags);
      translator.flush();
      printData(tableDump(translator.table), output);
      process.exitCode = reading.errors.length === 0 ? 0 : 1;
    });
}
