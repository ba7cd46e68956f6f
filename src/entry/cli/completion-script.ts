import type { Argument, Command, Option } from 'commander';
import { bashCompletion } from './completion-bash.ts';
import { fishCompletion } from './completion-fish.ts';
import type { CompletionCommand, CompletionOption, CompletionValue } from './completion-model.ts';
import { zshCompletion } from './completion-zsh.ts';

/** Values that are words, where the option itself does not list them. */
const WORDS: Readonly<Record<string, readonly string[]>> = {
  '--progress': ['auto', 'plain', 'tty', 'ordered', 'rawjson', 'quiet', 'none'],
  '--call': ['build', 'check', 'outline', 'targets'],
  '--network': ['default', 'host', 'none'],
  '--allow': ['network.host', 'security.insecure', 'device'],
  '--output': ['type=image', 'type=registry', 'type=oci', 'type=docker', 'type=local', 'type=tar'],
  '--attest': ['type=provenance', 'type=sbom'],
  '--provenance': ['true', 'false', 'mode=min', 'mode=max'],
  '--sbom': ['true', 'false'],
  '--platform': ['linux/amd64', 'linux/arm64', 'linux/arm/v7'],
  '--cache-from': ['type=registry', 'type=local', 'type=gha', 'type=s3'],
  '--cache-to': ['type=registry', 'type=local', 'type=inline', 'type=gha', 'type=s3'],
  '--filter': [
    'until=',
    'id=',
    'type=regular',
    'type=exec.cachemount',
    'type=source.git.checkout',
    'mutable',
    'shared',
  ],
};

/** The script that a shell completes this program with. @param shell `bash`, `zsh` or `fish` */
export function completionScript(program: Command, shell: string): string {
  const commands = program.commands.map(commandOf);
  switch (shell) {
    case 'zsh':
      return zshCompletion(program.name(), commands);
    case 'fish':
      return fishCompletion(program.name(), commands);
    default:
      return bashCompletion(program.name(), commands);
  }
}

/** A command of the program as completion sees it. */
export function commandOf(command: Command): CompletionCommand {
  const help = command.createHelp();
  return {
    name: command.name(),
    names: [command.name(), ...command.aliases()],
    summary: command.summary() || command.description(),
    options: help.visibleOptions(command).flatMap(optionOf),
    argument: command.registeredArguments.map(argumentValue)[0],
  };
}

function optionOf(option: Option): CompletionOption[] {
  const { long, short, description } = option;
  if (!long) return [];
  const name = /[<[](.+?)(?:\.\.\.)?[>\]]/.exec(option.flags)?.[1];
  return [
    {
      long,
      short: short ?? undefined,
      description,
      repeatable: option.variadic || Array.isArray(option.defaultValue),
      value: name === undefined ? undefined : { name, what: whatIs(long, name, option.argChoices) },
    },
  ];
}

function whatIs(long: string, name: string, choices: readonly string[] | undefined): CompletionValue {
  const words = choices ?? WORDS[long];
  if (words) return { kind: 'words', words };
  return { kind: name === 'path' && long !== '--cgroup-parent' ? 'file' : 'unknown' };
}

function argumentValue(argument: Argument): CompletionValue {
  if (argument.argChoices) return { kind: 'words', words: argument.argChoices };
  const name = argument.name().toLowerCase();
  if (name === 'image' || name === 'name') return { kind: 'image' };
  return { kind: name.startsWith('path') ? 'directory' : 'unknown' };
}
