/** What can stand in a place: one of some words, a path, the name of an image, or what nobody can guess. */
export type CompletionValue =
  | { readonly kind: 'words'; readonly words: readonly string[] }
  | { readonly kind: 'file' | 'directory' | 'image' | 'unknown' };

/** An option of a command. */
export interface CompletionOption {
  /** `--file`, and `-f` where there is a short one. */
  readonly long: string;
  readonly short: string | undefined;
  readonly description: string;
  readonly repeatable: boolean;
  /** Undefined for an option that takes no value. */
  readonly value: { readonly name: string; readonly what: CompletionValue } | undefined;
}

/** A command as a shell completes it. */
export interface CompletionCommand {
  readonly name: string;
  readonly names: readonly string[];
  readonly summary: string;
  readonly options: readonly CompletionOption[];
  /** What its arguments are; the last may be repeated. */
  readonly argument: CompletionValue | undefined;
}
