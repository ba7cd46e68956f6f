import type { CompletionCommand, CompletionOption, CompletionValue } from './completion-model.ts';

/** The completion script of fish. */
export function fishCompletion(program: string, commands: readonly CompletionCommand[]): string {
  const lines = [`# fish completion for ${program}`, `complete -c ${program} -f`];
  const first = `complete -c ${program} -n __fish_use_subcommand`;
  for (const { name, summary } of commands) lines.push(`${first} -a ${name} -d ${quote(summary)}`);
  lines.push(`${first} -s h -l help -d 'print this help'`, `${first} -s v -l version -d 'print the version'`);
  for (const { names, options, argument } of commands) {
    const seen = `complete -c ${program} -n ${quote(`__fish_seen_subcommand_from ${names.join(' ')}`)}`;
    if (argument) lines.push(`${seen} ${values(program, argument)}`.trimEnd());
    for (const option of options) lines.push(`${seen} ${optionFlags(program, option)}`);
  }
  return `${lines.join('\n')}\n`;
}

function optionFlags(program: string, { long, short, description, value }: CompletionOption): string {
  const words = [
    short === undefined ? '' : `-s ${short.slice(1)}`,
    `-l ${long.slice(2)}`,
    value ? `-r ${values(program, value.what)}` : '',
    `-d ${quote(description)}`,
  ];
  return words
    .map(word => word.trimEnd())
    .filter(word => word !== '')
    .join(' ');
}

function values(program: string, value: CompletionValue): string {
  switch (value.kind) {
    case 'words':
      return `-f -a ${quote(value.words.join(' '))}`;
    case 'file':
      return '-F';
    case 'directory':
      return "-f -a '(__fish_complete_directories)'";
    case 'image':
      return `-f -a '(${program} images --names 2>/dev/null)'`;
    default:
      return '-f';
  }
}

function quote(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
