import type { Command } from "commander";
import { usageFailure } from "../command-failure.ts";
import { exitCodes } from "../exit-codes.ts";

/** One command as completion sees it. */
interface Entry {
  /** "", "run", "policy set", … */
  readonly path: string;
  readonly subcommands: readonly { readonly name: string; readonly summary: string }[];
  readonly options: readonly {
    readonly flags: readonly string[];
    readonly description: string;
    readonly takesValue: boolean;
  }[];
  /** Whether its first argument is a sandbox. */
  readonly namesSandbox: boolean;
}

/** `sandgate completion SHELL`: a completion script, generated from the tree of commands. */
export async function printCompletion(program: Command, shell: string): Promise<number> {
  const entries = collectEntries(program, "");
  switch (shell) {
    case "bash":
      process.stdout.write(bashCompletion(entries));
      return exitCodes.ok;
    case "zsh":
      process.stdout.write(
        `#compdef sandgate\nautoload -U +X bashcompinit && bashcompinit\n${bashCompletion(entries)}`,
      );
      return exitCodes.ok;
    case "fish":
      process.stdout.write(fishCompletion(entries));
      return exitCodes.ok;
    default:
      throw usageFailure("this shell is not known", "use bash, zsh or fish");
  }
}

function collectEntries(command: Command, path: string): readonly Entry[] {
  const entry: Entry = {
    path,
    subcommands: command.commands.map((sub) => ({ name: sub.name(), summary: sub.summary() || sub.description() })),
    options: [...command.options, ...command.createHelp().visibleOptions(command)]
      .filter((option, index, all) => all.findIndex((other) => other.flags === option.flags) === index)
      .map((option) => ({
        flags: [option.short, option.long].filter((flag) => flag !== undefined),
        description: option.description,
        takesValue: option.required || option.optional,
      })),
    namesSandbox: /^sandbox(es)?$/.test(command.registeredArguments[0]?.name() ?? ""),
  };
  return [
    entry,
    ...command.commands.flatMap((sub) => collectEntries(sub, path === "" ? sub.name() : `${path} ${sub.name()}`)),
  ];
}

function bashCompletion(entries: readonly Entry[]): string {
  const cases = entries.map((entry) => {
    const words = [...entry.subcommands.map(({ name }) => name), ...entry.options.flatMap(({ flags }) => flags)];
    return `    ${JSON.stringify(entry.path)}) words=${JSON.stringify(words.join(" "))}; sandboxes=${entry.namesSandbox ? 1 : 0} ;;`;
  });
  const paths = entries.filter(({ path }) => path !== "").map(({ path }) => JSON.stringify(path));
  return `_sandgate() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path="" word candidate words="" sandboxes=0
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [ "$word" = "--" ] && { COMPREPLY=(); compopt -o default 2>/dev/null; return; }
    candidate="\${path:+$path }$word"
    case "$candidate" in
      ${paths.join("|")}) path="$candidate" ;;
    esac
  done
  case "$path" in
${cases.join("\n")}
  esac
  if [ "$sandboxes" = 1 ] && [ "\${current#-}" = "$current" ]; then
    words="$words $(sandgate ls --json 2>/dev/null | tr '{,' '\\n\\n' | sed -n 's/^[[:space:]]*"name":[[:space:]]*"\\([a-z0-9-]*\\)".*/\\1/p')"
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ "\${#COMPREPLY[@]}" = 0 ] && compopt -o default 2>/dev/null
  return 0
}
complete -F _sandgate sandgate
`;
}

function fishCompletion(entries: readonly Entry[]): string {
  const quote = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const lines = ["complete -c sandgate -f"];
  for (const entry of entries) {
    const condition =
      entry.path === ""
        ? "__fish_use_subcommand"
        : entry.path
            .split(" ")
            .map((word) => `__fish_seen_subcommand_from ${word}`)
            .join("; and ");
    for (const { name, summary } of entry.subcommands)
      lines.push(`complete -c sandgate -n ${quote(condition)} -a ${quote(name)} -d ${quote(summary)}`);
    for (const { flags, description, takesValue } of entry.options) {
      const names = flags.map((flag) => (flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
      lines.push(
        `complete -c sandgate -n ${quote(condition)} ${names.join(" ")}${takesValue ? " -r -F" : ""} -d ${quote(description)}`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}
