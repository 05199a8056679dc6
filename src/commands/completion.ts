import { Argument, Command, type Option } from "commander";
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

const names = ({ short, long }: Option): string[] => [short, long].filter((name) => name !== undefined);

/** What may follow a flag that takes one of a few values, which differ from command to command. */
function values(program: Command): string {
  return program.commands
    .flatMap((command) =>
      command.options
        .filter(({ argChoices }) => argChoices !== undefined)
        .map((option) => {
          const patterns = names(option).map((name) => `"${command.name()} ${name}"`);
          return `    ${patterns.join("|")}) words="${option.argChoices?.join(" ") ?? ""}" ;;`;
        }),
    )
    .join("\n");
}

function bash(program: Command): string {
  const cases = program.commands.map((c) => `    ${c.name()}) words="${words(c)}" ;;`).join("\n");
  return `_serviceroute() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words="${words(program)}"
  case "\${COMP_WORDS[1]}" in
${cases}
  esac
  [ "$COMP_CWORD" -eq 1 ] && words="${words(program)}"
  case "\${COMP_WORDS[1]} \${COMP_WORDS[COMP_CWORD-1]}" in
${values(program)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _serviceroute serviceroute`;
}

function fishOption(option: Option): string {
  const { short, long, argChoices, required } = option;
  const given = [
    ...(long === undefined ? [] : [`-l ${long.slice(2)}`]),
    ...(short === undefined ? [] : [`-s ${short.slice(1)}`]),
    ...(required ? ["-r"] : []),
    ...(argChoices === undefined ? [] : [`-f -a '${argChoices.join(" ")}'`]),
  ];
  return given.join(" ");
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
        `complete -c serviceroute -n '__fish_seen_subcommand_from ${c.name()}' ${fishOption(o)} -d '${o.description.replaceAll("'", "")}'`,
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
