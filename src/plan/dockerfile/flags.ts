import { DockerfileError } from './error.ts';
import { withSuggestion } from './suggest.ts';

/** What a flag takes: `--x` or `--x=true`, one text, or several. */
export type FlagKind = 'bool' | 'text' | 'list';

/** The flags of one instruction. */
export interface Flags {
  /** Names of the flags given, sorted. */
  readonly used: readonly string[];
  /** The value of a text flag, empty when not given. */
  text(name: string): string;
  /** The value of a bool flag, undefined when not given. */
  bool(name: string): boolean | undefined;
  list(name: string): readonly string[];
}

/**
 * Reads flags as `kinds` defines them. Throws DockerfileError without a location for an unknown or repeated flag and for a
 * missing or bad value.
 */
export function readFlags(words: readonly string[], kinds: Readonly<Record<string, FlagKind>> = {}): Flags {
  const values = new Map<string, string[]>();
  for (const word of words) {
    const equals = word.indexOf('=');
    const flag = equals < 0 ? word : word.slice(0, equals);
    const value = equals < 0 ? undefined : word.slice(equals + 1);
    const name = flag.slice(2);
    const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
    if (kind === undefined) throw failure(withSuggestion(`unknown flag: ${flag}`, name, Object.keys(kinds)), flag);
    const known = values.get(name);
    if (known !== undefined && kind !== 'list') throw failure(`duplicate flag specified: ${flag}`, flag);
    if (value === undefined ? kind !== 'bool' : kind === 'bool' && value === '') {
      throw failure(`missing a value on flag: ${flag}`, flag);
    }
    if (kind === 'bool' && value !== undefined && !/^(?:true|false)$/i.test(value)) {
      throw failure(`expecting boolean value for flag ${flag}, not: ${value}`, word);
    }
    values.set(name, [...(known ?? []), value ?? 'true']);
  }
  return {
    used: [...values.keys()].sort(),
    text: name => values.get(name)?.[0] ?? '',
    bool: name => {
      const value = values.get(name)?.[0];
      return value === undefined ? undefined : value.toLowerCase() === 'true';
    },
    list: name => values.get(name) ?? [],
  };
}

function failure(message: string, word: string): DockerfileError {
  return new DockerfileError(message, [], { word });
}
