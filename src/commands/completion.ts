import { Argument, Command } from "commander";
import { print } from "./output.ts";

const words = (command: Command): string =>
  [...command.commands.map((c) => c.name()), ...command.options.flatMap((o) => o.long ?? [])].join(" ");

function bash(program: Command): string {
  const cases = program.commands.map((c) => `    ${c.name()}) words="${words(c)}" ;;`).join("\n");
  return `_serviceroute() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words="${words(program)}"
  case "\${COMP_WORDS[1]}" in
${cases}
  esac
  [ "$COMP_CWORD" -eq 1 ] && words="${words(program)}"
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _serviceroute serviceroute`;
}

function fish(program: Command): string {
  const top = program.commands.map(
    (c) => `complete -c serviceroute -n __fish_use_subcommand -a ${c.name()} -d '${c.summary()}'`,
  );
  const flags = program.commands.flatMap((c) =>
    c.options.map(
      (o) =>
        `complete -c serviceroute -n '__fish_seen_subcommand_from ${c.name()}' -l ${(o.long ?? "").replace(/^--/, "")} -d '${o.description.replaceAll("'", "")}'`,
    ),
  );
  return [...top, ...flags].join("\n");
}

const zsh = (program: Command): string =>
  `#compdef serviceroute\nautoload -U +X bashcompinit && bashcompinit\n${bash(program)}`;

export function completionCommand(program: Command): Command {
  return new Command("completion")
    .summary("print a completion script for a shell")
    .description("Prints a completion script, for instance: source <(serviceroute completion bash)")
    .addArgument(new Argument("<shell>", "the shell").choices(["bash", "zsh", "fish"]))
    .action((shell: "bash" | "zsh" | "fish") => print({ bash, zsh, fish }[shell](program)));
}
