import type { LineRange } from './source.ts';

/** What is wrong with a Dockerfile, and where. The message is the one BuildKit gives. */
export class DockerfileError extends Error {
  override readonly name = 'DockerfileError';
  /**
   * The lines that led to the error, innermost first. Empty if there is no such place. A directive's error points one line
   * too low, as BuildKit's does, so that a line may be 0.
   */
  readonly locations: readonly LineRange[];
  /** The word of these lines that is wrong, as written, if one is. */
  readonly word: string | undefined;

  constructor(
    message: string,
    locations: readonly LineRange[],
    options: ErrorOptions & { word?: string | undefined } = {},
  ) {
    super(message, options);
    this.locations = locations;
    this.word = options.word;
  }
}

/** The error with a further location, for one that passes through the instruction or stage at `lines`. */
export function withLocation(error: unknown, lines: LineRange): DockerfileError {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof DockerfileError)) return new DockerfileError(message, [lines], { cause: error });
  return new DockerfileError(message, [...error.locations, lines], { cause: error, word: error.word });
}
