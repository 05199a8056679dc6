import { Argument, Command } from "commander";
import { print } from "./output.ts";

const choices = (command: Command): string[] =>
  command.registeredArguments.flatMap((argument) => argument.argChoices ?? []);
const words = (command: Command): string =>
  [
    ...command.commands.map((c) => c.name()),
    ...choices(command),
    ...command.options.flatMap((o) => o.long ?? []),
    "--help",
  ].join(" ");

/** What may follow a flag that takes one of a few values. */
function values(program: Command): string {
  const options = program.commands
    .flatMap((command) => command.options)
    .filter((option) => option.argChoices !== undefined);
  const byFlag = new Map(
    options.map(({ short, long, argChoices = [] }) => [[short, long].filter(Boolean).join("|"), argChoices]),
  );
  return [...byFlag].map(([flags, list]) => `    ${flags}) words="${list.join(" ")}" ;;`).join("\n");
}

function bash(program: Command): string {
  const cases = program.commands.map((c) => `    ${c.name()}) words="${words(c)}" ;;`).join("\n");
  return `_serviceroute() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words="${words(program)}"
  case "\${COMP_WORDS[1]}" in
${cases}
  esac
  [ "$COMP_CWORD" -eq 1 ] && words="${words(program)}"
  case "\${COMP_WORDS[COMP_CWORD-1]}" in
${values(program)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _serviceroute serviceroute`;
}

function fish(program: Command): string {
  const top = program.commands.map(
    (c) => `complete -c serviceroute -n __fish_use_subcommand -a ${c.name()} -d '${c.summary()}'`,
  );
  const arguments_ = program.commands.flatMap((c) =>
    choices(c).map((choice) => `complete -c serviceroute -n '__fish_seen_subcommand_from ${c.name()}' -a ${choice}`),
  );
  const flags = program.commands.flatMap((c) =>
    c.options.map(
      (o) =>
        `complete -c serviceroute -n '__fish_seen_subcommand_from ${c.name()}' -l ${(o.long ?? "").replace(/^--/, "")} -d '${o.description.replaceAll("'", "")}'`,
    ),
  );
  return [...top, ...arguments_, ...flags].join("\n");
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
