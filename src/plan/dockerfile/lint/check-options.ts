import { trimGoSpace } from '../../../wire/fsutil/go-path.ts';
import { parseGoBool } from '../../../wire/go-bool.ts';
import { upToBlank } from '../directive.ts';
import { goQuote } from '../go-text.ts';

/** Which rules run, and whether a warning is an error. */
export interface CheckOptions {
  readonly skipAll: boolean;
  readonly skip: ReadonlySet<string>;
  readonly experimentalAll: boolean;
  readonly experimental: ReadonlySet<string>;
  readonly error: boolean;
}

/** Options of the build checks that cannot be read. */
export class CheckOptionsError extends Error {
  override readonly name = 'CheckOptionsError';
}

const MAX_PARTS = 3;

/**
 * Reads the value of `# check=` or of the build argument BUILDKIT_DOCKERFILE_CHECK, such as `skip=A,B;error=true`. Throws
 * CheckOptionsError; callers put the origin before its message.
 */
export function parseCheckOptions(text: string): CheckOptions {
  const options = {
    skipAll: false,
    skip: new Set<string>(),
    experimentalAll: false,
    experimental: new Set<string>(),
    error: false,
  };
  const trimmed = trimGoSpace(text);
  if (trimmed === '') return options;
  const parts = trimmed.split(';');
  for (const part of [...parts.slice(0, MAX_PARTS - 1), ...lastPart(parts)]) {
    const equals = part.indexOf('=');
    if (equals < 0) throw new CheckOptionsError(`invalid check option ${goQuote(part)}`);
    const key = trimGoSpace(part.slice(0, equals));
    const value = trimGoSpace(part.slice(equals + 1));
    if (key === 'error') {
      const error = parseGoBool(value);
      if (error === undefined) {
        const reason = `strconv.ParseBool: parsing ${goQuote(value)}: invalid syntax`;
        throw new CheckOptionsError(`failed to parse check option ${goQuote(part)}: ${reason}`);
      }
      options.error = error;
    } else if (key === 'skip' || key === 'experimental') {
      if (value === 'all') options[`${key}All`] = true;
      else options[key] = new Set(value.split(',').map(trimGoSpace));
    } else {
      throw new CheckOptionsError(`invalid check option ${goQuote(key)}`);
    }
  }
  return options;
}

/** A third `;` and what follows it belong to the third part. */
function lastPart(parts: readonly string[]): string[] {
  return parts.length < MAX_PARTS ? [] : [parts.slice(MAX_PARTS - 1).join(';')];
}

/** The options with those of an inline `# check=` among the comments of an instruction; only what runs is taken from it. */
export function withInlineOptions(options: CheckOptions, comments: readonly string[]): CheckOptions {
  for (const comment of comments) {
    const directive = /^check[\t\n\f\r ]*=[\t\n\f\r ]*(.+)$/is.exec(comment);
    if (directive === null) continue;
    let inline: CheckOptions;
    try {
      inline = parseCheckOptions(upToBlank(directive[1] ?? ''));
    } catch (error) {
      if (error instanceof CheckOptionsError) return options;
      throw error;
    }
    return {
      skipAll: options.skipAll || inline.skipAll,
      skip: options.skip.union(inline.skip),
      experimentalAll: options.experimentalAll || inline.experimentalAll,
      experimental: options.experimental.union(inline.experimental),
      error: options.error,
    };
  }
  return options;
}
