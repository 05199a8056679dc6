import { Command } from "commander";
import manifest from "../../package.json" with { type: "json" };
import { completionCommand } from "./completion.ts";
import { controllerCommand } from "./controller.ts";
import { envoyCommand } from "./envoy.ts";
import { explainCommand } from "./explain.ts";
import { gatewayCommand } from "./gateway.ts";
import { getCommand } from "./get.ts";
import { renderCommand } from "./render.ts";
import { validateCommand } from "./validate.ts";

export function createProgram(): Command {
  const program = new Command("serviceroute")
    .description(
      "A traffic controller for Kubernetes: ServiceRoutes in, weighted routing tables, traffic and truthful status out.",
    )
    .version(manifest.version)
    .configureOutput({ outputError: (text, write) => write(text) });
  for (const command of [
    controllerCommand(),
    gatewayCommand(),
    envoyCommand(),
    validateCommand(),
    renderCommand(),
    getCommand(),
    explainCommand(),
  ])
    program.addCommand(command);
  program.addCommand(completionCommand(program));
  for (const command of [program, ...program.commands, ...program.commands.flatMap(({ commands }) => commands)])
    command.exitOverride().showHelpAfterError("(run with --help to see the flags)");
  return program;
}
