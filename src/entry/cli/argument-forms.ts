import type { Command, Option } from 'commander';
import { parseGoBool } from '../../wire/go-bool.ts';
import { UsageError } from './errors.ts';

/**
 * A command line without the forms that docker's flags have and commander's lack: a flag that takes no value may be given as
 * `--push=true` or `--push=false`, of which the last counts, a short one may have `=` before its value (`-t=NAME`), and one with an
 * empty value (`--cache-from "$CACHE"` where nothing is in it) is not given.
 * @param words what follows the program's name
 * @throws UsageError for such a flag that is neither true nor false
 */
export function plainArguments(program: Command, words: readonly string[]): string[] {
  const parts: { readonly option?: Option; readonly words: readonly string[] }[] = [];
  let command = program;
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? '';
    if (word === '--') {
      parts.push({ words: words.slice(index) });
      break;
    }
    const whole = optionOf(command, word);
    const equals = word.indexOf('=');
    const option = whole ?? (equals < 0 ? undefined : optionOf(command, word.slice(0, equals)));
    if (!option) {
      command = command.commands.find(one => word === one.name() || one.aliases().includes(word)) ?? command;
      parts.push({ words: [word] });
    } else if (whole) {
      const own = option.required ? words.slice(index, ++index + 1) : [word];
      if (own[1] !== '') parts.push({ option, words: own });
    } else if (option.required || option.optional) {
      const value = word.slice(equals + 1);
      const own = word.startsWith('--') ? [word] : [word.slice(0, equals), value];
      if (value !== '') parts.push({ option, words: own });
    } else {
      const isSet = truth(word.slice(0, equals), word.slice(equals + 1));
      for (let at = parts.length - 1; at >= 0; at--) if (parts[at]?.option === option) parts.splice(at, 1);
      // Without one that says so, a flag that is not given is false.
      const negation = optionOf(command, `${option.long}=false`);
      if (isSet) parts.push({ option, words: [option.long ?? word.slice(0, equals)] });
      else if (negation) parts.push({ option, words: [negation.long ?? ''] });
    }
  }
  return parts.flatMap(part => part.words);
}

function optionOf(command: Command, flag: string): Option | undefined {
  return command.options.find(({ short, long }) => flag === long || flag === short);
}

function truth(flag: string, value: string): boolean {
  const said = parseGoBool(value);
  if (said !== undefined) return said;
  throw new UsageError(`${flag}=${value}: expected true or false`);
}
